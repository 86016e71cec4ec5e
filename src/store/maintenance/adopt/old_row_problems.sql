-- Rows that cannot be adopted: a line a reason, with how many and the first ten ids. Ids are Cognito's subs, no
-- personal data; nothing else of a row is shown. A UUID is read as PostgreSQL and Rust both read it: 32
-- hexadecimal digits, with the four hyphens or without any.
with old as (
    select id::text as id,
           case when id::text ~ '^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})$'
                then replace(lower(id::text), '-', '') end as sub,
           login_count, created_at, updated_at, last_login_at, deleted_at, btrim(referral_code::text) as code
    from users
), problems as (
    select 1 as position, 'the id is no UUID, so it is no sub' as problem, id from old where sub is null
    union all
    select 2, 'the id is another row''s, in another spelling', id
    from (select id, count(*) over (partition by sub) as same from old where sub is not null) as spelled
    where same > 1
    union all
    select 3, 'login_count is negative', id from old where login_count < 0
    union all
    select 4, 'created_at is null', id from old where created_at is null
    union all
    select 5, 'a time lies before 1970 or after 9999', id
    from old
    cross join lateral (values (created_at::timestamptz), (updated_at::timestamptz), (last_login_at::timestamptz),
        (deleted_at::timestamptz)) as times (at)
    where not (at >= '1970-01-01 00:00Z' and at < '10000-01-01 00:00Z')
    group by id
    union all
    select 6, 'the referral_code is another row''s as well', id
    from (select id, count(*) over (partition by code) as same from old where code <> '') as codes
    where same > 1
)
select problem, count(*) as rows, coalesce((array_agg(id order by id))[1:10], '{}') as ids
from problems
group by position, problem
order by position
