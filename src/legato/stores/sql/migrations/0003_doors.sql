-- What the doors of the service need: a request that is sent twice makes one run; users, the digests of their secrets, and what
-- they did.
alter table run add column key text;
create unique index run_by_key on run (key) where key is not null;

create table user (
    name text primary key,
    body blob not null
) without rowid;

create table token (
    digest text primary key,
    body blob not null
) without rowid;

create table audit (
    number integer primary key,
    body blob not null
);
