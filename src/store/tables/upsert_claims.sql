-- `least` ignores nulls: an address once shown verified stays so, since the earliest time.
insert into user_claims as claims (kind, value, user_id, since)
select kind, value, user_id, since
from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[]) as new (kind, value, user_id, since)
order by kind, value, user_id
on conflict (kind, value, user_id) do update set since = least(claims.since, excluded.since)
returning kind, value, user_id, since
