-- The columns of locked rows that follow from contexts, too. A context is no login and no news of the user: no count and no
-- other time changes.
update users
set last_login_ip = new.ip::inet,
    last_login_device = new.device,
    last_login_location = new.location,
    last_login_source = new.source,
    last_login_own = new.own::jsonb,
    contexts_until = new.until,
    created_ip = new.created_ip::inet,
    created_ip_for = new.created_ip_for,
    row_version = users.row_version + 1
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::uuid[])
    as new (id, ip, device, location, source, own, until, created_ip, created_ip_for)
where users.id = new.id
