-- The addresses that fill_users.sql gave, with the same parameters.
insert into user_claims (kind, value, user_id, since, shown)
select 'email', case when $3 then 'shared@example.com' else 'user' || n || '@example.com' end, md5(n::text)::uuid,
    timestamptz '2025-10-20 05:05:55.2Z', timestamptz '2025-10-20 05:05:55.2Z'
from generate_series($1::bigint, $2::bigint) as n
where $4::uuid is not null and $5::text is not null
