-- What is on its way out: runs whose events are still to be removed, and stored values that no record names any more.
create table removed_run (
    number integer primary key,
    id text not null unique
);

create table waste (
    number integer primary key,
    at integer not null,
    body blob not null
);

create index waste_at on waste (at);

-- Events that were decided once and are never to be decided again, though the decision is no longer kept. mark: a digest.
create table known_tick (mark blob primary key) without rowid;

-- Up to which version somebody has looked whether it is to be kept.
insert into meta (key, value) values ('looked', 0);
