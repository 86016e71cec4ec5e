-- Leaves of a user's events what model/scrub.rs leaves of an event that comes later; the two must agree, or a
-- duplicate would be taken for another event with the same id. Returns how many there are, and how many were changed.
with held as materialized (
    select id from user_events where user_id = $1 and type <> 'group.deleted'
), scrubbed as (
    update user_events
    set data = coalesce(
        (select jsonb_object_agg(key, value) from jsonb_each(data) where key = any ($2)),
        '{}')
    from held
    where user_events.id = held.id
    returning user_events.id
)
select (select count(*) from held), (select count(*) from scrubbed)
