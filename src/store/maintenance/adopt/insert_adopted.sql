-- New rows with what is the application's in them; the service's columns follow by the same statement that
-- writes every other row, and what app_owned names it leaves alone.
insert into users (
    id, referral_code, created_at, synced_at, updated_at,
    name, first_name, last_name, date_of_birth, gender, profile_picture_url, country_code, timezone, language,
    app_owned, bio, is_premium, preferences, settings, metadata
)
select id, referral_code, created_at, synced_at, synced_at,
       name, first_name, last_name, date_of_birth::date, gender, profile_picture_url, country_code, timezone, language,
       string_to_array(app_owned, ','), bio, is_premium, preferences::jsonb, settings::jsonb, metadata::jsonb
from unnest(
    $1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[],
    $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
    $14::text[], $15::text[], $16::bool[], $17::text[], $18::text[], $19::text[]
) as new (
    id, referral_code, created_at, synced_at,
    name, first_name, last_name, date_of_birth, gender, profile_picture_url, country_code, timezone, language,
    app_owned, bio, is_premium, preferences, settings, metadata
)
order by id
