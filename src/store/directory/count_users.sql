-- A piece of the table of users by its key, behind $6 and of $7 rows: how many there are, how many of them a filter shows,
-- and the last one. The conditions are those of listed.sql.
with piece as materialized (
    select id, coalesce(
        ($1::text is null or (case when erased_at is not null then 'ERASED' when is_deleted then 'DELETED'
            when not enabled then 'DISABLED' else cognito_status end) = $1)
        and ($2::text is null or user_pool_id = $2)
        and ($3::timestamptz is null or last_login_at >= $3)
        and ($4::timestamptz is null or last_login_at < $4)
        and (not $5::boolean or last_login_at is null and created_at is not null), false) as is_match
    from users
    where id > $6::uuid
    order by id
    limit $7::bigint
)
select count(*) as looked, count(*) filter (where is_match) as matching,
    (select id from piece order by id desc limit 1) as last
from piece
