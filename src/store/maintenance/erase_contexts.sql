-- Leaves of a user's contexts what is kept of one that comes later. Returns how many there are, and how many were changed.
with held as materialized (
    select id from user_sync_contexts where user_id = $1
), scrubbed as (
    update user_sync_contexts
    set data = coalesce(
        (select jsonb_object_agg(key, value) from jsonb_each(data) where key = any ($2)),
        '{}')
    from held
    where user_sync_contexts.id = held.id
    returning user_sync_contexts.id
)
select (select count(*) from held), (select count(*) from scrubbed)
