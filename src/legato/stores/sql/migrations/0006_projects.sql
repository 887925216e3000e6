-- Every version of the project that was in force, as a snapshot; the number rises each time that one comes into force.
create table project (
    number integer primary key,
    fingerprint text not null unique,
    at integer not null,
    body blob not null
);
