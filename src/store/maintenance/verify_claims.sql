-- Where the claims of some users differ from what the ledger says: a line a claim.
with expected as (
    select kind, value, user_id, since
    from unnest($2::text[], $3::text[], $4::uuid[], $5::timestamptz[]) as e (kind, value, user_id, since)
), stored as (
    select kind, value, user_id, since from user_claims where user_id = any ($1)
)
select coalesce(stored.user_id, expected.user_id) as id,
       'user_claims ' || coalesce(stored.kind, expected.kind) as name,
       case when stored.value is null then null else stored.value || ' ' || coalesce(stored.since::text, 'unverified') end as stored,
       case when expected.value is null then null else expected.value || ' ' || coalesce(expected.since::text, 'unverified') end as expected
from stored
full join expected using (kind, value, user_id)
where stored.value is null or expected.value is null or stored.since is distinct from expected.since
order by 1, 2
