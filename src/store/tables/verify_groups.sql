-- Where the latest deletion of a group is not what the ledger, and what was folded of it, say.
with told as (
    select user_pool_id, data ->> 'group' as name, date_trunc('second', occurred_at) as at
    from user_events
    where type = 'group.deleted' and data ->> 'group' is not null
    union all
    select user_pool_id, name, cleared_at from user_sync_group_baseline
), expected as (
    select user_pool_id, name, max(at) as cleared_at from told group by user_pool_id, name
)
select user_pool_id, name, stored.cleared_at, expected.cleared_at
from user_sync_groups as stored
full join expected using (user_pool_id, name)
where stored.cleared_at is distinct from expected.cleared_at
order by user_pool_id, name
