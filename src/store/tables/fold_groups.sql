-- The latest deletion of each group in a month, from the first id to before the last, and in the months before. What the
-- group's row says itself is left: `verify` compares it.
insert into user_sync_groups as known (user_pool_id, name, cleared_at, folded_at)
select user_pool_id, name, max(at), max(at)
from (
    select user_pool_id, data ->> 'group' as name, date_trunc('second', occurred_at) as at
    from user_events
    where id >= $1 and id < $2 and type = 'group.deleted' and data ->> 'group' is not null
) as told
group by user_pool_id, name
order by user_pool_id, name
on conflict (user_pool_id, name) do update set folded_at = greatest(known.folded_at, excluded.folded_at)
