-- Every statement of the SQLite store, under its name. Tables that grow with history are only ever searched, never
-- scanned: a test asks SQLite for the plan of each block.

-- name: epoch
select value from meta where key = 'epoch';

-- name: raise_epoch
update meta set value = value + 1 where key = 'epoch';

-- name: insert_run
insert into run (id, state, body, key, backfill) values (?, ?, ?, ?, ?);

-- name: update_run
update run set state = ?, body = ? where number = ?;

-- name: insert_plan
insert into plan (run, body) values (?, ?);

-- name: insert_event
insert into event (run, body) values (?, ?);

-- name: put_version
insert into version (asset, partition, version, body) values (?, ?, ?, ?)
on conflict (version, asset, partition) do update set body = excluded.body;

-- name: put_head
insert into head (asset, partition, body) values (?, ?, ?)
on conflict (asset, partition) do update set body = excluded.body;

-- name: delete_head
delete from head where asset = ? and partition = ?;

-- name: put_trouble
insert into trouble (asset, partition, body) values (?, ?, ?)
on conflict (asset, partition) do update set body = excluded.body;

-- name: delete_trouble
delete from trouble where asset = ? and partition = ?;

-- name: add_timing
insert into timing (node, attempts, seconds) values (?, ?, ?)
on conflict (node) do update set attempts = attempts + excluded.attempts, seconds = seconds + excluded.seconds;

-- name: add_start
insert into start (pool, key, at, until) values (?, ?, ?, ?);

-- name: forget_starts
delete from start where until <= ?;

-- name: starts
select pool, key, at, until from start order by until;

-- name: put_cached
insert into cached (key, run, body) values (?, ?, ?)
on conflict (key) do update set run = excluded.run, body = excluded.body;

-- name: delete_cached
delete from cached where run = ?;

-- name: cached
select body from cached where key = ?;

-- name: keep_project
insert or replace into project (number, fingerprint, at, body, code, manuscript)
values ((select coalesce(max(number), 0) + 1 from project), ?, ?, ?, ?, ?);

-- name: add_text
insert into text (digest, body) values (?, ?) on conflict do nothing;

-- name: add_text_of
insert into text_of (fingerprint, digest) values (?, ?) on conflict do nothing;

-- name: projects
select fingerprint, at, code from project where number < ? order by number desc limit ?;

-- name: project_number
select number from project where fingerprint = ?;

-- name: project
select body from project where fingerprint = ?;

-- name: manuscript
select manuscript from project where fingerprint = ? and code != '';

-- name: forget_code
update project set code = '', manuscript = x'' where code != '';

-- name: forget_every_text
delete from text;

-- name: forget_every_text_of
delete from text_of;

-- name: texts_of
select digest, body from text_of join text using (digest) where fingerprint = ?;

-- name: add_decision
insert into decision (trigger, key, waits, run, note, body) values (?, ?, ?, ?, ?, ?) on conflict (trigger, key) do nothing;

-- name: keep_trigger
insert into kept_trigger (trigger, body) values (?, ?) on conflict (trigger) do update set body = excluded.body;

-- name: hear
update meta set value = ? where key = 'heard';

-- name: settle_decision
update decision set waits = 0, run = ? where waits = 1 and trigger || '/' || key = ?;

-- name: give_up_decision
update decision set waits = 0, note = ? where trigger = ? and key = ? and waits = 1;

-- name: decision
select trigger, key, body, waits, run, note from decision where trigger = ? and key = ?;

-- name: decisions
select number, trigger, key, body, waits, run, note from decision where number < ? order by number desc limit ?;

-- name: decisions_of
select number, trigger, key, body, waits, run, note from decision where trigger = ? and number < ? order by number desc limit ?;

-- name: waiting_decisions
select trigger, key, body, waits, run, note from decision where waits = 1 order by number limit ?;

-- name: kept_triggers
select trigger, body from kept_trigger;

-- name: heard
select value from meta where key = 'heard';

-- name: add_dynamic_key
insert into dynamic_key (name, key) values (?, ?) on conflict (name, key) do nothing;

-- name: put_user
insert into user (name, body) values (?, ?) on conflict (name) do update set body = excluded.body;

-- name: put_token
insert into token (digest, body) values (?, ?) on conflict (digest) do update set body = excluded.body;

-- name: delete_token
delete from token where digest = ?;

-- name: add_audit
insert into audit (body) values (?);

-- name: run_number
select number from run where id = ?;

-- name: run
select body from run where id = ?;

-- name: run_by_key
select body from run where key = ?;

-- name: runs
select body from run where number < ? order by number desc limit ?;

-- name: runs_in_state
select body from run where state = ? and number < ? order by number desc limit ?;

-- name: backfills
select body from run where backfill = 1 and number < ? order by number desc limit ?;

-- name: plan
select body from plan where run = ?;

-- name: events
select seq, body from event where run = ? and seq > ? order by seq limit ?;

-- name: changes
select event.seq, run.id, event.body from event join run on run.number = event.run
where event.seq > ? order by event.seq limit ?;

-- name: newest_change
select coalesce(max(seq), 0) from event;

-- name: heads
select asset, partition, body from head where asset in (select value from json_each(?)) order by asset, partition;

-- name: last_heads
select body from head where asset = ? order by partition desc limit ?;

-- name: head
select body from head where asset = ? and partition = ?;

-- name: versions
select number, body from version where asset = ? and number < ? order by number desc limit ?;

-- name: versions_of_partition
select number, body from version where asset = ? and partition = ? and number < ? order by number desc limit ?;

-- name: version
select body from version where version = ? and asset = ? and partition = ?;

-- name: assets
-- From each asset to the next one: a search for every asset, however many versions it has.
with recursive known (asset) as (
    select min(asset) from version
    union all
    select (select min(asset) from version where asset > known.asset) from known where known.asset is not null
)
select asset from known where asset is not null;

-- name: troubles
select body from trouble order by asset, partition;

-- name: troubles_of
select body from trouble where asset in (select value from json_each(?)) order by asset, partition;

-- name: timings
select node, attempts, seconds from timing order by node;

-- name: dynamic_keys
select key from dynamic_key where name = ? order by number limit ? offset ?;

-- name: count_keys
select count(*) from dynamic_key where name = ?;

-- name: new_keys
select number, name, key from dynamic_key where number > ? order by number limit ?;

-- name: user
select body from user where name = ?;

-- name: users
select body from user order by name;

-- name: token
select body from token where digest = ?;

-- name: tokens
select body from token order by digest;

-- name: audits
select number, body from audit where number < ? order by number desc limit ?;

-- name: note_removed_run
-- The newest of each kind stays, here and below: so no number is ever given twice.
insert into removed_run (number, id)
select number, id from run where id = ? and state <> 'open' and number < (select max(number) from run)
on conflict do nothing;

-- name: drop_plan
delete from plan where run = (select number from removed_run where id = ?);

-- name: drop_cached
delete from cached where run = (select id from removed_run where id = ?);

-- name: drop_run
delete from run where number = (select number from removed_run where id = ?);

-- name: drop_event
delete from event where seq = ? and seq < (select max(seq) from event) and run in (select number from removed_run);

-- name: forget_removed_runs
delete from removed_run where not exists (select 1 from event where event.run = removed_run.number);

-- name: drop_version
delete from version where asset = ? and partition = ? and version = ? and number < (select max(number) from version);

-- name: drop_project
delete from project where fingerprint = ? and number < (select max(number) from project);

-- name: drop_texts
delete from text where digest in (select digest from text_of where fingerprint not in (select fingerprint from project))
and not exists (select 1 from text_of join project using (fingerprint) where text_of.digest = text.digest);

-- name: forget_texts
delete from text_of where fingerprint not in (select fingerprint from project);

-- name: remember_tick
insert into known_tick (mark) values (?) on conflict do nothing;

-- name: knows_tick
select 1 from known_tick where mark = ?;

-- name: drop_decision
delete from decision where number = ? and waits = 0 and number < (select max(number) from decision);

-- name: drop_audit
delete from audit where number = ? and number < (select max(number) from audit);

-- name: add_waste
insert into waste (at, body) values (?, ?);

-- name: drop_waste
delete from waste where number = ?;

-- name: look
update meta set value = ? where key = 'looked';

-- name: looked
select value from meta where key = 'looked';

-- name: oldest_runs
select number, body from run where number > ? order by number limit ?;

-- name: oldest_open
select body from run where state = 'open' order by number limit 1;

-- name: oldest_versions
select number, body from version where number > ? order by number limit ?;

-- name: oldest_decisions
select number, trigger, key, body, waits, run, note from decision where number > ? order by number limit ?;

-- name: oldest_audits
select number, body from audit where number > ? order by number limit ?;

-- name: removed_events
select event.seq, removed_run.id, event.body from removed_run cross join event on event.run = removed_run.number
where event.seq < (select max(seq) from event) order by removed_run.number, event.seq limit ?;

-- name: wastes
select number, at, body from waste where at <= ? order by at, number limit ?;
