-- The latest deletion of each group.
insert into user_sync_groups as known (user_pool_id, name, cleared_at)
select user_pool_id, name, cleared_at
from unnest($1::text[], $2::text[], $3::timestamptz[]) as new (user_pool_id, name, cleared_at)
order by user_pool_id, name
on conflict (user_pool_id, name) do update set cleared_at = greatest(known.cleared_at, excluded.cleared_at)
