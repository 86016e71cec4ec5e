-- Continues verify_users.sql after the rows.
left join users on users.id = new.id
cross join lateral (values
    ('email', users.email::text, new.email::text),
    ('email_verified', users.email_verified::text, new.email_verified::text),
    ('phone_number', users.phone_number::text, new.phone_number::text),
    ('phone_number_verified', users.phone_number_verified::text, new.phone_number_verified::text),
    ('name', users.name::text, case when 'name' = any (users.app_owned) then users.name::text else new.name::text end),
    ('first_name', users.first_name::text, case when 'first_name' = any (users.app_owned) then users.first_name::text else new.first_name::text end),
    ('last_name', users.last_name::text, case when 'last_name' = any (users.app_owned) then users.last_name::text else new.last_name::text end),
    ('date_of_birth', users.date_of_birth::text, case when 'date_of_birth' = any (users.app_owned) then users.date_of_birth::text else new.date_of_birth::text end),
    ('gender', users.gender::text, case when 'gender' = any (users.app_owned) then users.gender::text else new.gender::text end),
    ('profile_picture_url', users.profile_picture_url::text, case when 'profile_picture_url' = any (users.app_owned) then users.profile_picture_url::text else new.profile_picture_url::text end),
    ('country_code', users.country_code::text, case when 'country_code' = any (users.app_owned) then users.country_code::text else new.country_code::text end),
    ('timezone', users.timezone::text, case when 'timezone' = any (users.app_owned) then users.timezone::text else new.timezone::text end),
    ('language', users.language::text, case when 'language' = any (users.app_owned) then users.language::text else new.language::text end),
    ('is_active', users.is_active::text, new.is_active::text),
    ('is_verified', users.is_verified::text, new.is_verified::text),
    ('is_deleted', users.is_deleted::text, new.is_deleted::text),
    ('deleted_at', users.deleted_at::text, new.deleted_at::text),
    ('login_count', users.login_count::text, new.login_count::text),
    ('last_login_at', users.last_login_at::text, new.last_login_at::text),
    ('last_login_ip', users.last_login_ip::text, new.last_login_ip::inet::text),
    ('last_login_device', users.last_login_device::text, new.last_login_device::text),
    ('last_login_location', users.last_login_location::text, new.last_login_location::text),
    ('created_at', users.created_at::text, new.created_at::text),
    ('confirmed_at', users.confirmed_at::text, new.confirmed_at::text),
    ('created_ip', users.created_ip::text, new.created_ip::inet::text),
    ('synced_at', users.synced_at::text, new.synced_at::text),
    ('referred_by', users.referred_by::text, new.referred_by::text),
    ('user_pool_id', users.user_pool_id::text, new.user_pool_id::text),
    ('cognito_username', users.cognito_username::text, new.cognito_username::text),
    ('cognito_status', users.cognito_status::text, new.cognito_status::text),
    ('enabled', users.enabled::text, new.enabled::text),
    ('cognito_attributes', users.cognito_attributes::text, new.cognito_attributes::jsonb::text),
    ('attributes_version', users.attributes_version::text, new.attributes_version::text),
    ('attribute_versions', users.attribute_versions::text, new.attribute_versions::jsonb::text),
    ('enabled_at', users.enabled_at::text, new.enabled_at::text),
    ('federated_login', users.federated_login::text, new.federated_login::text),
    ('last_login_id', users.last_login_id::text, new.last_login_id::text),
    ('sign_up_id', users.sign_up_id::text, new.sign_up_id::text),
    ('sign_up_referral_code', users.sign_up_referral_code::text, new.sign_up_referral_code::text),
    ('email_since', users.email_since::text, new.email_since::text),
    ('phone_since', users.phone_since::text, new.phone_since::text),
    -- It holds nothing but where it is of this version.
    ('profile_digest', users.profile_digest::text,
        case when users.profile_version = users.attributes_version then new.profile_digest else users.profile_digest end::text),
    ('updated_at', users.updated_at::text, greatest(users.app_edited_at, new.synced_at)::text)
) as difference (name, stored, expected)
where users.id is not null and difference.stored is distinct from difference.expected
union all
select new.id, 'id', null, new.id::text
from unnest($1::uuid[]) as new (id)
where not exists (select from users where users.id = new.id)
order by id, name
