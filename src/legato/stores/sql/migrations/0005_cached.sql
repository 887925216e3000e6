-- Results that later runs may take over, by the key of what made them; run: the id of the run that did.
create table cached (
    number integer primary key,
    key text not null unique,
    run text not null,
    body blob not null
);

create index cached_by_run on cached (run);
