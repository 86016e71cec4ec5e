-- The latest deletion of each group in a month, from the first id to before the last, and in the months before.
insert into user_sync_group_baseline as known (user_pool_id, name, cleared_at)
select user_pool_id, name, max(at)
from (
    select user_pool_id, data ->> 'group' as name, date_trunc('second', occurred_at) as at
    from user_events
    where id >= $1 and id < $2 and type = 'group.deleted' and data ->> 'group' is not null
) as told
group by user_pool_id, name
order by user_pool_id, name
on conflict (user_pool_id, name) do update set cleared_at = greatest(known.cleared_at, excluded.cleared_at)
