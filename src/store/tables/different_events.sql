-- Events whose id the ledger has with another content: somebody gave one id to two events. Of the same user it may
-- be what an erasure left of the event.
select user_events.id, user_events.user_id = event.user_id as is_same_user
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
    as event (id, user_id, type, user_pool_id, data)
join user_events on user_events.id = event.id
where (user_events.user_id, user_events.type, user_events.user_pool_id, user_events.data)
    is distinct from (event.user_id, event.type, event.user_pool_id, event.data::jsonb)
