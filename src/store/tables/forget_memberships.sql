-- Memberships that ended before the ledger's oldest month, by the user's leaving or by the group's deletion: no event that
-- comes can be earlier. `verify_memberships.sql` has the same condition.
with ended as materialized (
    select user_id, name
    from user_sync_memberships as member
    where user_event_bound(at) < (select lower from user_event_partitions order by lower limit 1)
      and (gone or exists (
          select from user_sync_group_baseline as deleted
          where deleted.user_pool_id = member.user_pool_id and deleted.name = member.name
            and deleted.cleared_at >= member.at))
    for update skip locked
)
delete from user_sync_memberships as member
using ended
where member.user_id = ended.user_id and member.name = ended.name
