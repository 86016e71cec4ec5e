-- Users as a sign-up and a login left them.
insert into users (
    id, email, email_verified, name, first_name, last_name, language, country_code, is_verified,
    login_count, last_login_at, last_login_ip, last_login_device, last_login_id,
    created_at, confirmed_at, synced_at, updated_at, sign_up_id, referral_code,
    user_pool_id, cognito_username, cognito_status, cognito_attributes,
    attributes_version, attribute_versions, email_since, email_shown, profile_version, profile_digest)
select md5(n::text)::uuid, case when not $3 or n = $1 then address end, not $3 or n = $1, 'Ada Lovelace', 'Ada', 'Lovelace', 'de', 'AT', true,
    1, origin, '192.0.2.1', 'Mobile', $4,
    origin, origin, origin, origin, $4, upper(substr(md5('code' || n), 1, 16)),
    $5, md5(n::text)::uuid::text, 'CONFIRMED',
    jsonb_build_object('email', address, 'email_verified', 'true', 'given_name', 'Ada', 'family_name', 'Lovelace', 'locale', 'de-AT'),
    $4, '{}', origin, origin, $4,
    -- As apply/profile.rs makes it: each text after its length, eight bytes of ones for none.
    encode(substr(sha256((
        select string_agg(coalesce(int8send(octet_length(text)) || convert_to(text, 'UTF8'), '\xffffffffffffffff'), '' order by at)
        from unnest(array[
            'email', address, 'true', 'family_name', 'Lovelace', null, 'given_name', 'Ada', null, 'locale', 'de-AT', null,
            'cognito:user_status', 'CONFIRMED', null, 'cognito:username', md5(n::text)::uuid::text, null,
            'cognito:user_pool_id', $5, null
        ]) with ordinality as told (text, at)
    )), 1, 16), 'hex')::uuid
from generate_series($1::bigint, $2::bigint) as n,
    lateral (select case when $3 then 'shared@example.com' else 'user' || n || '@example.com' end as address,
        timestamptz '2025-10-20 05:05:55.2Z' as origin) as told
