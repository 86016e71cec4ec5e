-- A pool that the table has users of, if it has none of this one. That the first row with a pool is of this one is
-- the common case: it is answered without reading the table to its end.
select known.user_pool_id
from (select user_pool_id from users where user_pool_id is not null limit 1) as known
where known.user_pool_id <> $1 and not exists (select from users where user_pool_id = $1)
