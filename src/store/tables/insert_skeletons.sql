-- New users, so that they can be locked like the others. In the order of the ids: two batches that bring the
-- same new users wait for each other in one direction only.
insert into users (id, name, referral_code, created_at, synced_at, updated_at)
select id, $2, referral_code, created_at, synced_at, synced_at
from unnest($1::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[])
    as new (id, referral_code, created_at, synced_at)
order by id
on conflict (id) do nothing
