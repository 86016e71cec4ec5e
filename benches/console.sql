-- What the console is measured with: $USERS users, $EVENTS events of a year in the order of their ids, of which user
-- 77 has one of 400, and about one user in three a group. In the shapes that apply writes.
insert into users (
    id, email, email_verified, name, first_name, last_name, language, country_code, is_verified,
    login_count, last_login_at, last_login_ip, last_login_device, last_login_id,
    created_at, confirmed_at, synced_at, updated_at, sign_up_id, referral_code,
    user_pool_id, cognito_username, cognito_status, cognito_attributes, enabled, is_deleted,
    attributes_version, attribute_versions, email_since, email_shown, profile_version)
select md5(n::text)::uuid, address, true, given || ' ' || family, given, family, 'de', 'AT', true,
    $EVENTS / $USERS, moment, '192.0.2.1', 'Mobile', id,
    moment - interval '300 days', moment, moment, moment, id, upper(substr(md5('code' || n), 1, 16)),
    'eu-west-1_Bench0000', 'login-' || n, case n % 200 when 1 then 'UNCONFIRMED' else 'CONFIRMED' end,
    jsonb_build_object('email', address, 'email_verified', 'true', 'given_name', given, 'family_name', family),
    n % 200 <> 0, n % 300 = 0, id, '{}', moment, moment, id
from generate_series(1, $USERS) as n,
    lateral (select 'user' || n || '@example.com' as address,
        -- A frequent name: one user in a hundred.
        case when n % 100 = 0 then 'Ada' else 'Given' || n % 1000 end as given,
        case when n % 100 = 0 then 'Lovelace' else 'Family' || n % 20000 end as family,
        -- Of the first round of the events below: the last that each user has.
        (extract(epoch from now()) * 1000)::bigint - n * $APART::bigint as milliseconds) as told,
    lateral (select to_timestamp(milliseconds / 1000.0) as moment,
        (lpad(to_hex(milliseconds), 12, '0') || '70008' || substr(md5(n::text), 1, 15))::uuid as id) as made;

insert into user_claims (kind, value, user_id, since, shown)
select 'email', email, id, email_since, email_shown from users;

insert into user_sync_memberships (user_id, name, user_pool_id, at, gone)
select id, 'group ' || abs(hashtext(id::text)) % 7, user_pool_id, now(), false
from users where hashtext(id::text) % 3 = 0;

insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
select (lpad(to_hex(milliseconds), 12, '0') || '70008' || substr(md5(n::text), 1, 15))::uuid,
    md5((case when n % 400 = 399 then 77 else 1 + (n - 1) % $USERS end)::text)::uuid,
    'user.authenticated', 'eu-west-1_Bench0000', to_timestamp(milliseconds / 1000.0),
    '{"status": "CONFIRMED", "attributes":
        {"email": "someone@example.com", "email_verified": "true", "given_name": "Ada"}}'
from generate_series($EVENTS, 1, -1) as n,
    lateral (select (extract(epoch from now()) * 1000)::bigint - n * $APART::bigint as milliseconds) as told
