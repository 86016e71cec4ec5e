-- How many addresses get another owner by 0047 (who showed an address first keeps it): a table of users of whom a share
-- hold an address with one other user, owned as before migration 15 (the smallest sub of the unverified ones), and what
-- verify_owners.sql says of it when the times are known. In an empty, migrated database, as its owner, from this
-- repository's root:
--
--   psql "$DATABASE_URL" -v users=1000000 -v contested=0.02 -v unverified=0.5 -f benches/owners.sql
\set ON_ERROR_STOP on
\timing on
\set owners `cat src/store/maintenance/verify_owners.sql`

select setseed(0.5);

create temporary table told as
select gen_random_uuid() as id, n,
    case when n <= :users * :contested then 'shared' || (n + 1) / 2 else 'user' || n end || '@example.com' as address,
    random() >= :unverified as verified,
    timestamptz '2026-01-01 00:00Z' + random() * interval '300 days' as shown
from generate_series(1, :users::bigint) as n;

insert into users (id, name, referral_code, created_at, synced_at, updated_at, cognito_attributes, email,
    email_verified, email_since, email_shown)
select id, 'User', 'code' || n, shown, shown, shown,
    jsonb_build_object('email', address, 'email_verified', verified::text),
    -- As it was: verified first, then who verified it last, then the smallest sub.
    case when 1 = row_number() over (
        partition by address order by verified desc, case when verified then shown end desc nulls last, id
    ) then address end,
    verified, case when verified then shown end, shown
from told;

analyze users;

select :users::bigint as users, :contested::numeric as contested, :unverified::numeric as unverified,
    count(distinct coalesce(stored, expected)) as addresses_with_another_owner, count(*) as rows_that_change
from (:owners) as differences;
