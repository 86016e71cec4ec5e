-- Events of December 2025 to June 2026, in the order of their ids: the ledger of a busy year.
insert into user_events (id, user_id, type, user_pool_id, occurred_at, recorded_at, data)
select (lpad(to_hex(1764547200000 + n * 300), 12, '0') || '7000' || '8' || substr(md5(n::text), 1, 15))::uuid,
    md5(n::text)::uuid, 'user.authenticated', 'eu-west-1_Bench0000',
    to_timestamp((1764547200000 + n * 300) / 1000.0), '2026-01-01',
    jsonb_build_object('status', 'CONFIRMED', 'attributes', jsonb_build_object(
        'email', 'user' || n || '@example.com', 'email_verified', 'true', 'given_name', 'Ada'))
from generate_series($1::bigint, $2::bigint) as n
