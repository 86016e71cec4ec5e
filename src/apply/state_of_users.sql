-- The state of users, as users.rs reads it; a condition follows.
select id, xmin::text::bigint as written_by, email, phone_number, login_count, federated_login,
       last_login_id, host(last_login_ip) as last_login_ip, last_login_device, last_login_location,
       sign_up_id, host(created_ip) as created_ip, sign_up_referral_code, referred_by,
       created_at, synced_at, deleted_at, enabled, enabled_at,
       user_pool_id, cognito_username, cognito_status,
       cognito_attributes, attributes_version, attribute_versions, email_since, phone_since,
       erased_at is not null as is_erased
from users
