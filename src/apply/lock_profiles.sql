-- Locks the rows of users, in the order of their ids like every lock, and says what the newest event told of each,
-- and since when that has stood: what tells the same later on changes nothing of it. Foreign keys that point here are
-- not waited for, since no key changes. One row, an array a column.
select coalesce(array_agg(id), '{}') as ids, coalesce(array_agg(profile_digest), '{}') as digests,
       coalesce(array_agg(settled_at), '{}') as settled_at
from (
    select id, profile_digest, greatest(created_at, email_since, phone_since) as settled_at
    from users
    where id = any ($1) and profile_version = attributes_version and erased_at is null
    order by id
    for no key update
) as locked
