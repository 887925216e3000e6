-- Columns are what is searched by; the record itself is the body (MessagePack, `legato.terms.codec`).

create table meta (
    key text primary key,
    value integer not null
) without rowid;

insert into meta (key, value) values ('epoch', 0);

-- number: the order of acceptance.
create table run (
    number integer primary key,
    id text not null unique,
    state text not null,
    body blob not null
);

create index run_by_state on run (state);

-- Apart from the run, so that listing runs stays cheap. body: the plan, compressed with zlib.
create table plan (
    run integer primary key,
    body blob not null
);

-- seq: one rising sequence for the whole store; run: run.number.
create table event (
    seq integer primary key,
    run integer not null,
    body blob not null
);

create index event_by_run on event (run);

create table version (
    number integer primary key,
    asset text not null,
    partition text not null,
    version text not null,
    body blob not null
);

create index version_by_asset on version (asset);

create index version_by_partition on version (asset, partition);

-- A version's name comes first: names rise with time, so that this index grows at its end.
create unique index version_by_name on version (version, asset, partition);

create table head (
    asset text not null,
    partition text not null,
    body blob not null,
    primary key (asset, partition)
) without rowid;

create table trouble (
    asset text not null,
    partition text not null,
    body blob not null,
    primary key (asset, partition)
) without rowid;

create table timing (
    node text primary key,
    attempts integer not null,
    seconds real not null
) without rowid;

create table dynamic_key (
    number integer primary key,
    name text not null,
    key text not null,
    unique (name, key)
);
