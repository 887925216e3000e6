-- What was decided of each tick of a trigger, what is kept of the triggers, and how far in the runs' events they have heard.
-- A decision that fired has its run in the same commit that accepts the run; `note` says why it never got one.
create table decision (
    number integer primary key,
    trigger text not null,
    key text not null,
    waits integer not null,
    run text not null,
    note text not null,
    body blob not null,
    unique (trigger, key)
);
create index decision_by_trigger on decision (trigger, number);
create index decision_waits on decision (waits, number);

create table kept_trigger (
    trigger text primary key,
    body blob not null
) without rowid;

insert into meta (key, value) values ('heard', 0);
