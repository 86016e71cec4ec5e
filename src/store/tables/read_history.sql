-- Some users' baselines, events and contexts. What a context's columns say counts.
select user_id, null::uuid as id, null as type, null as user_pool_id, null::jsonb as data, state, claims,
       null::timestamptz as recorded_at
from user_baseline
where user_id = any ($1)
union all
select user_id, id, type, user_pool_id, data, null::jsonb, null::jsonb, recorded_at
from user_events
where user_id = any ($1)
union all
select user_id, null::uuid, 'user.login_context', null, null::jsonb, state, null::jsonb, null::timestamptz
from user_sync_context_baseline
where user_id = any ($1)
union all
select user_id, id, 'user.login_context', user_pool_id,
       data || jsonb_build_object(
           'reported_by', reported_by, 'occasion', occasion, 'witness', is_witness, 'client_id', client_id),
       null::jsonb, null::jsonb, recorded_at
from user_sync_contexts
where user_id = any ($1)
order by user_id, id nulls first
