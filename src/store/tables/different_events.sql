-- Events that were not inserted and that the ledger does not have as they are: it has another content under the id, because
-- somebody gave one id to two events, or, of the same user, because an erasure left less of it; or it has none, because
-- somebody else's trigger keeps the event out.
select event.id, user_events.id is not null as is_there, coalesce(user_events.user_id = event.user_id, false) as is_same_user
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
    as event (id, user_id, type, user_pool_id, data)
left join user_events on user_events.id = event.id
where (user_events.user_id, user_events.type, user_events.user_pool_id, user_events.data)
    is distinct from (event.user_id, event.type, event.user_pool_id, event.data::jsonb)
