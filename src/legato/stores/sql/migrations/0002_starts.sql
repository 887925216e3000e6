-- Starts of attempts that a pool's rate still counts: they outlive their runs, and a restart.
create table start (pool text not null, key text not null, at integer not null, until integer not null);
create index start_until on start (until);
