-- Where a membership is not what the ledger and the baseline say: of some users ($1), or of all, where that is null. The order
-- is that of `Membership` in model/groups.rs. Who is erased has none, whether the ledger is scrubbed yet or not.
--
-- One that ended before the ledger's oldest month may be there or not: `maintain` forgets them.
with told as (
    select user_id, data ->> 'group' as name, user_pool_id, date_trunc('second', occurred_at) as at,
        type = 'user.group_left' as gone
    from user_events
    where type in ('user.group_joined', 'user.group_left')
      and data ->> 'group' is not null
      and ($1::uuid[] is null or user_id = any ($1))
    union all
    select user_id, name, user_pool_id, at, gone
    from user_sync_membership_baseline
    where $1::uuid[] is null or user_id = any ($1)
), latest as (
    select distinct on (user_id, name) user_id, name, user_pool_id, at, gone
    from told
    where not exists (select from users where users.id = told.user_id and users.erased_at is not null)
    order by user_id, name, at desc, gone desc, user_pool_id collate "C" desc
), both_sides as (
    select true as is_stored, user_id, name, user_pool_id, at, gone
    from user_sync_memberships
    where $1::uuid[] is null or user_id = any ($1)
    union all
    select false, user_id, name, user_pool_id, at, gone from latest
), open as (
    select both_sides.*
    from both_sides
    left join user_sync_group_baseline as deleted using (user_pool_id, name)
    where not coalesce(
        user_event_bound(both_sides.at) < (select lower from user_event_partitions order by lower limit 1)
            and (both_sides.gone or deleted.cleared_at >= both_sides.at),
        false)
), stored as (
    select * from open where is_stored
), expected as (
    select * from open where not is_stored
)
select user_id, name, stored.user_pool_id, stored.at, stored.gone, expected.user_pool_id, expected.at, expected.gone
from stored
full join expected using (user_id, name)
where (stored.user_pool_id, stored.at, stored.gone) is distinct from (expected.user_pool_id, expected.at, expected.gone)
order by user_id, name
