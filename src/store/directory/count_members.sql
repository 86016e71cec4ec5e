-- The same of the members of a group ($8), by the key of what is known of them.
with piece as materialized (
    select user_id, name, gone
    from user_sync_memberships
    where name = $8::text and user_id > $6::uuid
    order by user_id
    limit $7::bigint
)
select count(*) as looked,
    count(users.id) filter (
        where not gone
        and exists (select from user_sync_user_groups as current
            where current.user_id = piece.user_id and current.name = piece.name)
        and ($1::text is null or (case when erased_at is not null then 'ERASED' when is_deleted then 'DELETED'
            when not enabled then 'DISABLED' else cognito_status end) = $1)
        and ($2::text is null or users.user_pool_id = $2)
        and ($3::timestamptz is null or last_login_at >= $3)
        and ($4::timestamptz is null or last_login_at < $4)
        and (not $5::boolean or last_login_at is null and created_at is not null)) as matching,
    (select user_id from piece order by user_id desc limit 1) as last
from piece
left join users on users.id = piece.user_id
