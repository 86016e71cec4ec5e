-- By the primary keys, in the partitions of these ids only.
select (select count(*) from user_events where id = any ($1)) + (select count(*) from user_sync_contexts where id = any ($1))
