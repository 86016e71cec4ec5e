-- Where the claims of some users differ from what the ledger says: a line a claim.
with expected as (
    select kind, value, user_id, since, shown
    from unnest($2::text[], $3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
        as e (kind, value, user_id, since, shown)
), stored as (
    select kind, value, user_id, since, shown from user_claims where user_id = any ($1)
)
select coalesce(stored.user_id, expected.user_id) as id,
       'user_claims ' || coalesce(stored.kind, expected.kind) as name,
       stored.value || ' ' || coalesce(stored.since::text, 'unverified')
           || ', shown ' || coalesce(stored.shown::text, 'earlier') as stored,
       expected.value || ' ' || coalesce(expected.since::text, 'unverified')
           || ', shown ' || coalesce(expected.shown::text, 'earlier') as expected
from stored
full join expected using (kind, value, user_id)
where stored.value is null or expected.value is null
    or (stored.since, stored.shown) is distinct from (expected.since, expected.shown)
order by 1, 2
