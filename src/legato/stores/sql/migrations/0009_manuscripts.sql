-- The code of versions of the project. code: the digest of its index, empty where it is not kept; manuscript: the index.
alter table project add column code text not null default '';
alter table project add column manuscript blob not null default x'';

-- What the files said, compressed: a text is there once, whichever versions have it.
create table text (
    digest text primary key,
    body blob not null
) without rowid;

create table text_of (
    fingerprint text not null,
    digest text not null,
    primary key (fingerprint, digest)
) without rowid;

create index text_of_digest on text_of (digest);
