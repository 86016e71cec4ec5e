-- `least` ignores nulls: an address once shown verified stays so, since the earliest time. That it is not known since when
-- an older release's row has been shown stays so, too: it counts as earlier than any time.
insert into user_claims as claims (kind, value, user_id, since, shown)
select kind, value, user_id, since, shown
from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
    as new (kind, value, user_id, since, shown)
order by kind, value, user_id
on conflict (kind, value, user_id) do update
    set since = least(claims.since, excluded.since),
        shown = case when claims.shown is not null then least(claims.shown, excluded.shown) end
returning kind, value, user_id, since, shown
