-- 100,000 users and 1,000,000 events of the last 87 days, by insert and select: what a page must find its way in. Each
-- tenth event is a sign-up, the others are logins of whom there was by then. The attributes are in the rows only.

set user_sync.service = 'versioned';
set synchronous_commit = off;
set jit = off;

insert into users (id, email, email_verified, phone_number, phone_number_verified, name, referral_code, created_at,
    confirmed_at, synced_at, updated_at, user_pool_id, cognito_username, cognito_status, enabled, is_deleted,
    login_count)
select md5(n::text)::uuid, 'person' || n || '@example.com', n % 3 <> 0,
    case when n % 4 = 0 then '+4420' || lpad(n::text, 8, '0') end, n % 8 = 0,
    (array['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald', 'Frances', 'Ken', 'Radia', 'Tony'])[1 + n % 10]
        || ' Surname' || n,
    upper(substr(md5('code' || n), 1, 16)), at.created, at.created, at.created, at.created,
    'eu-west-1_Test0000' || n % 2, 'login-' || n,
    case n % 20 when 1 then 'UNCONFIRMED' when 2 then 'EXTERNAL_PROVIDER' else 'CONFIRMED' end,
    n % 200 <> 0, n % 300 = 0, 0
from generate_series(1, 100000) as n, lateral (select now() - n * interval '75 seconds' as created) as at;

insert into user_claims (kind, value, user_id) select 'email', email, id from users where email like 'person%';
insert into user_claims (kind, value, user_id)
select 'phone', phone_number, id from users where phone_number is not null;

insert into user_sync_memberships (user_id, name, user_pool_id, at, gone)
select md5(n::text)::uuid, 'group ' || n % 7, 'eu-west-1_Test0000' || n % 2, now(), n % 11 = 0
from generate_series(1, 100000) as n;

insert into user_events (id, user_id, type, user_pool_id, occurred_at, recorded_at, data)
select (lpad(to_hex((extract(epoch from e.at) * 1000)::bigint), 12, '0') || '70008'
        || substr(md5('event' || m), 1, 15))::uuid,
    md5(e.n::text)::uuid, case m % 10 when 0 then 'user.confirmed' else 'user.authenticated' end,
    'eu-west-1_Test0000' || e.n % 2, e.at, e.at,
    jsonb_build_object('user_name', 'login-' || e.n, 'status', 'CONFIRMED',
        'client_id', (array['web', 'ios', 'android'])[1 + m % 3], 'client', jsonb_build_object(
            'ip', '203.0.113.' || m % 250, 'device', (array['Mobile', 'Desktop', 'Tablet'])[1 + m % 3],
            'location', (array['Lyon, FR', 'Berlin, DE', 'Leeds, GB', 'Austin, US'])[1 + m % 4]))
from generate_series(1, 1000000) as m,
    lateral (select now() - m * interval '7.5 seconds' as at,
        case m % 10 when 0 then m / 10
            else m / 10 + 1 + (m::bigint * 7919 % greatest(100000 - m / 10, 1))::int end as n) as e
where e.n <= 100000;

update users set login_count = of_user.logins, last_login_id = of_user.last,
    last_login_at = last.occurred_at,
    last_login_ip = (last.data #>> '{client,ip}')::inet, last_login_device = last.data #>> '{client,device}',
    last_login_location = last.data #>> '{client,location}', last_login_client_id = last.data ->> 'client_id',
    last_login_source = 'client'
from (
        select user_id, count(*) as logins, max(id::text)::uuid as last from user_events
        where type = 'user.authenticated' group by 1
    ) as of_user
    join user_events as last on last.id = of_user.last
where of_user.user_id = users.id;

reset user_sync.service;
analyze users;
analyze user_claims;
analyze user_sync_memberships;
analyze user_events;
