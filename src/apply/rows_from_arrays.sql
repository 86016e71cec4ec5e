-- Rows as users.rs binds them: an array a column.
from unnest(
    $1::uuid[], $2::text[], $3::bool[], $4::text[], $5::bool[],
    $6::text[], $7::text[], $8::text[], $9::date[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
    $15::bool[], $16::bool[], $17::bool[], $18::timestamptz[],
    $19::bigint[], $20::timestamptz[], $21::text[], $22::text[], $23::text[],
    $24::timestamptz[], $25::timestamptz[], $26::text[], $27::timestamptz[],
    $28::uuid[],
    $29::text[], $30::text[], $31::text[], $32::bool[], $33::text[],
    $34::uuid[], $35::text[], $36::timestamptz[], $37::bool[], $38::uuid[],
    $39::uuid[], $40::text[], $41::timestamptz[], $42::timestamptz[], $43::uuid[], $44::uuid[]
) as new (
    id, email, email_verified, phone_number, phone_number_verified,
    name, first_name, last_name, date_of_birth, gender, profile_picture_url, country_code, timezone, language,
    is_active, is_verified, is_deleted, deleted_at,
    login_count, last_login_at, last_login_ip, last_login_device, last_login_location,
    created_at, confirmed_at, created_ip, synced_at,
    referred_by,
    user_pool_id, cognito_username, cognito_status, enabled, cognito_attributes,
    attributes_version, attribute_versions, enabled_at, federated_login, last_login_id,
    sign_up_id, sign_up_referral_code, email_since, phone_since, profile_digest, profile_version
)
