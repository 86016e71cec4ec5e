-- A snapshot is the whole user: an attribute that the pool no longer has is gone from the row as of the snapshot's time. One
-- id stands for all that is gone, so that an event from before the snapshot brings none of it back, whenever it arrives.
--
-- Null in what is there, and then nothing is gone: the next snapshot sets it, and `user-sync verify --repair` sets it for all
-- rows by the snapshots that the ledger has.
alter table users add column whole_snapshot_id uuid;

comment on column users.whole_snapshot_id is 'the latest snapshot of the whole user: no attribute is older';

grant update (whole_snapshot_id) on users to user_sync_consumer;
