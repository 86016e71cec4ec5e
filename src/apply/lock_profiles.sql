-- Locks the rows of users, and says what their newest event told of them, and from when on that may be told again
-- without changing who was created, or had an address, since when. In the order of the ids, like every lock. Foreign
-- keys that point here are not waited for: no key changes.
select id, profile_digest, greatest(created_at, email_since, phone_since) as settled_at
from users
where id = any ($1) and profile_digest is not null and erased_at is null
order by id
for no key update
