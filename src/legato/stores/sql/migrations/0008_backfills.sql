-- Which runs are backfills: few of many.
alter table run add column backfill integer not null default 0;

create index run_backfill on run (number) where backfill = 1;
