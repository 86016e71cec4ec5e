-- What a list says of each user that was looked at: which values there are, none of the values. `looked` has the user, the
-- place in the list (`at`, `key`) and whether it is in question at all.
select
    looked.key, looked.at, users.id,
    coalesce(looked.is_in and users.id is not null
        and ($1::text is null or (case when erased_at is not null then 'ERASED' when is_deleted then 'DELETED'
            when not enabled then 'DISABLED' else cognito_status end) = $1)
        and ($2::text is null or users.user_pool_id = $2)
        and ($3::timestamptz is null or last_login_at >= $3)
        and ($4::timestamptz is null or last_login_at < $4)
        and (not $5::boolean or last_login_at is null and created_at is not null), false) as is_match,
    coalesce(users.name <> 'User', false) as has_name,
    email is not null as has_email, coalesce(email_verified, false) as email_verified,
    phone_number is not null as has_phone, coalesce(phone_number_verified, false) as phone_verified,
    erased_at is not null as is_erased, coalesce(is_deleted, false) as is_deleted, coalesce(enabled, true) as enabled,
    cognito_status, cognito_identities is not null as has_identities,
    coalesce(case when jsonb_typeof(cognito_identities) = 'array'
        then array(select distinct identity ->> 'provider_name' from jsonb_array_elements(cognito_identities) as identity
            where identity ->> 'provider_name' is not null order by 1) end, '{}') as providers,
    coalesce(login_count, 0) as login_count, last_login_at, created_at,
    array(select name from user_sync_memberships as member
        where member.user_id = users.id and not gone
            and exists (select from user_sync_user_groups as current
                where current.user_id = member.user_id and current.name = member.name)
        order by name limit 10) as groups
from ({looked}) as looked
left join users on users.id = looked.user_id
order by looked.at desc nulls last, looked.key {direction}
