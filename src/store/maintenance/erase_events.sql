-- Leaves of a user's events what model/scrub.rs leaves of an event that comes later; the two must agree, or a
-- duplicate would be taken for another event with the same id.
update user_events
set data = coalesce(
    (select jsonb_object_agg(key, value) from jsonb_each(data) where key = any ($2)),
    '{}')
where user_id = $1
