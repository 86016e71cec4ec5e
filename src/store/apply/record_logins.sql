-- Logins that report nothing new of their user: only what the newest event reported, and what has stood since before
-- the first of them. In whatever order logins come, the latest one is the one with the greatest id. The ledger takes what
-- was counted, as in insert_events.sql.
with locked as materialized (
    -- A row that somebody holds is left: nobody is waited for while others' rows are locked here. $17 are the users, or
    -- nobody where there is a single one: the update may wait for that.
    select id from users where id = any ($17::uuid[]) order by id for no key update skip locked
),
counted as (
    update users
    set login_count = users.login_count + new.logins,
        last_login_id = greatest(users.last_login_id, new.id),
        last_login_at = case when users.last_login_id > new.id then users.last_login_at else new.occurred_at end,
        last_login_ip = case when users.last_login_id > new.id then users.last_login_ip else new.ip::inet end,
        last_login_device = case when users.last_login_id > new.id then users.last_login_device else new.device end,
        last_login_location = case when users.last_login_id > new.id then users.last_login_location else new.location end,
        last_login_client_id = case when users.last_login_id > new.id then users.last_login_client_id else new.client_id end,
        -- Its own words, if any: whoever has contexts around it is not here.
        last_login_source = case
            when users.last_login_id > new.id then users.last_login_source
            when coalesce(new.ip, new.device, new.location) is not null then 'client'
        end,
        last_login_own = case when users.last_login_id > new.id then users.last_login_own end,
        -- What they reported again is of their version now.
        attributes_version = greatest(users.attributes_version, new.id),
        profile_version = greatest(users.attributes_version, new.id),
        synced_at = greatest(users.synced_at, new.occurred_at),
        -- The application's last edit may be later; `greatest` ignores nulls.
        updated_at = greatest(users.app_edited_at, users.synced_at, new.occurred_at),
        row_version = users.row_version + 1
    from unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[],
        $5::uuid[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[]
    ) as new (user_id, digest, logins, first_at, id, occurred_at, ip, device, location, client_id)
    where users.id = new.user_id
        -- `is true` keeps PostgreSQL from making a join of it, here and below: it could not be a hash join.
        and (cardinality($17::uuid[]) = 0 or (new.user_id in (select id from locked)) is true)
        -- One expression: by two conditions PostgreSQL would expect to find a user in two hundred, and read all of
        -- a small table for each login.
        and new.digest = case
            when users.profile_version = users.attributes_version and users.erased_at is null
                -- No context that is kept is around the last login: `LARGEST_BACK_WINDOW_MILLIS` of model/contexts.rs.
                and (users.last_login_id > new.id or users.contexts_until is null
                    or users.contexts_until < new.occurred_at - interval '15 minutes')
                then users.profile_digest
        end
        and greatest(users.created_at, users.email_since, users.phone_since, users.email_shown, users.phone_shown)
            <= new.first_at
    returning users.id
),
fresh as (
    insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
    select id, user_id, type, user_pool_id, occurred_at, data::jsonb
    from unnest($11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::timestamptz[], $16::text[])
        as event (id, user_id, type, user_pool_id, occurred_at, data)
    -- Asked of the first event once every row is locked, so rows come before ids here, too.
    where (user_id in (select id from counted)) is true
    order by id
    on conflict (id) do nothing
    returning id
)
-- Who was counted, which events are fresh, whose row somebody holds. Null is all of them, and nobody's.
select
    case when (select count(*) from counted) < cardinality($1) then array(select id from counted) end,
    case when (select count(*) from fresh) < cardinality($11) then array(select id from fresh) end,
    case when (select count(*) from locked) < cardinality($17)
        then array(select id from users where id = any ($17::uuid[]) and id not in (select id from locked)) end
