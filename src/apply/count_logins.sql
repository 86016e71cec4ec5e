-- Logins of locked rows. In whatever order they come, the latest login is the one with the greatest id.
update users
set login_count = users.login_count + new.logins,
    last_login_id = greatest(users.last_login_id, new.id),
    last_login_at = case when users.last_login_id > new.id then users.last_login_at else new.occurred_at end,
    last_login_ip = case when users.last_login_id > new.id then users.last_login_ip else new.ip::inet end,
    last_login_device = case when users.last_login_id > new.id then users.last_login_device else new.device end,
    last_login_location = case when users.last_login_id > new.id then users.last_login_location else new.location end,
    -- What they told again is of their version now.
    attributes_version = greatest(users.attributes_version, new.id),
    profile_version = greatest(users.attributes_version, new.id),
    synced_at = greatest(users.synced_at, new.occurred_at),
    -- The application's last edit may be later; `greatest` ignores nulls.
    updated_at = greatest(users.app_edited_at, users.synced_at, new.occurred_at)
from unnest(
    $1::uuid[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::text[]
) as new (user_id, logins, id, occurred_at, ip, device, location)
where users.id = new.user_id
