-- Some users' baseline and events.
select user_id, null::uuid as id, null as type, null as user_pool_id, null::jsonb as data, state, claims,
       null::timestamptz as recorded_at
from user_baseline
where user_id = any ($1)
union all
select user_id, id, type, user_pool_id, data, null::jsonb, null::jsonb, recorded_at
from user_events
where user_id = any ($1)
order by user_id, id nulls first
