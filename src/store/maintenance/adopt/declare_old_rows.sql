-- The rows of the table old_users, whatever types of the documented families its columns have, with the referrer
-- as far as it is a row. `old_users` and `old_metadata` are replaced by names: the second is that of the column.
-- Ids are compared without hyphens and in lower case: a UUID can be written in several ways.
declare old_rows no scroll cursor for
select old.id::text::uuid as id,
       nullif(old.phone_number::text, '') as phone_number,
       coalesce(old.phone_number_verified, false) as phone_number_verified,
       nullif(old.email::text, '') as email,
       coalesce(old.email_verified, false) as email_verified,
       nullif(old.name::text, '') as name,
       nullif(old.first_name::text, '') as first_name,
       nullif(old.last_name::text, '') as last_name,
       old.date_of_birth is not null as has_date_of_birth,
       case when old.date_of_birth::timestamptz >= '0001-01-01 00:00Z' and old.date_of_birth::timestamptz < '10000-01-01 00:00Z'
            then to_char(old.date_of_birth::timestamptz at time zone 'utc', 'YYYY-MM-DD') end as date_of_birth,
       nullif(old.gender::text, '') as gender,
       nullif(old.country_code::text, '') as country_code,
       nullif(old.timezone::text, '') as timezone,
       nullif(old.language::text, '') as language,
       nullif(old.profile_picture_url::text, '') as profile_picture_url,
       coalesce(old.is_active, true) as is_active,
       coalesce(old.is_deleted, false) as is_deleted,
       coalesce(old.is_verified, false) as is_verified,
       nullif(old.cognito_username::text, '') as cognito_username,
       nullif(old.cognito_status::text, '') as cognito_status,
       old.last_login_at::timestamptz as last_login_at,
       nullif(old.last_login_ip::text, '') as last_login_ip,
       nullif(old.last_login_device::text, '') as last_login_device,
       nullif(old.last_login_location::text, '') as last_login_location,
       coalesce(old.login_count, 0)::bigint as login_count,
       old.created_at::timestamptz as created_at,
       nullif(old.created_ip::text, '') as created_ip,
       coalesce(old.updated_at, old.created_at)::timestamptz as updated_at,
       old.deleted_at::timestamptz as deleted_at,
       nullif(btrim(old.referral_code::text), '') as referral_code,
       nullif(btrim(old.referred_by::text), '') is not null as is_referred,
       referrer.id::text::uuid as referrer_id,
       nullif(btrim(referrer.referral_code::text), '') as referrer_code,
       old.bio::text as bio,
       coalesce(old.is_premium, false) as is_premium,
       old.preferences::text as preferences,
       old.settings::text as settings,
       old.old_metadata::text as metadata
from old_users as old
left join old_users as referrer
    on replace(lower(referrer.id::text), '-', '') = replace(lower(btrim(old.referred_by::text)), '-', '')
