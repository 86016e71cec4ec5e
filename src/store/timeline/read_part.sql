-- The latest events and contexts of one user before an id, as read_history.sql reads them all.
with events as (
    select user_id, id, type, user_pool_id, data, recorded_at
    from user_events
    where user_id = $1 and id < $2
    order by id desc
    limit $3
), contexts as (
    select user_id, id, 'user.login_context', user_pool_id,
        data || jsonb_build_object(
            'reported_by', reported_by, 'occasion', occasion, 'witness', is_witness, 'client_id', client_id),
        recorded_at
    from user_sync_contexts
    where user_id = $1 and id < $2
    order by id desc
    limit $3
)
select user_id, id, type, user_pool_id, data, null::jsonb as state, null::jsonb as claims, recorded_at from events
union all
select user_id, id, 'user.login_context', user_pool_id, data, null::jsonb, null::jsonb, recorded_at
from contexts as context (user_id, id, type, user_pool_id, data, recorded_at)
order by id
