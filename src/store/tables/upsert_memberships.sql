-- The latest word on each membership; the order is that of `Membership` in model/groups.rs.
insert into user_sync_memberships as known (user_id, name, user_pool_id, at, gone)
select user_id, name, user_pool_id, at, gone
from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[])
    as new (user_id, name, user_pool_id, at, gone)
order by user_id, name
on conflict (user_id, name) do update
    set (user_pool_id, at, gone) = (
        select word.user_pool_id, word.at, word.gone
        from (values (known.user_pool_id, known.at, known.gone), (excluded.user_pool_id, excluded.at, excluded.gone))
            as word (user_pool_id, at, gone)
        order by word.at desc, word.gone desc, word.user_pool_id collate "C" desc
        limit 1)
