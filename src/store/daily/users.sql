-- Counts what follows from the rows of users, and marks what these changed: of the days on which users were created, who they
-- are; of the days of federated sign-ups, which confirmation counts as the login.
with created as (
    select (created_at at time zone 'utc')::date as day, count(*) as created,
        count(*) filter (where not is_deleted) as users, sum(hashtextextended(id::text, 0)) as creations
    from users
    where created_at <= now()
    group by 1
),
-- The id's first 48 bits are its time in milliseconds.
sign_ups as (
    select (to_timestamp(('x' || replace(left(sign_up_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)
            at time zone 'utc')::date as day,
        sum(hashtextextended(sign_up_id::text, 0)) as sign_ups
    from users
    where federated_login and sign_up_id is not null
    group by 1
),
seen as (
    select day, coalesce(created.created, 0) as created, coalesce(created.users, 0) as users,
        coalesce(created.creations, 0) as creations, coalesce(sign_ups.sign_ups, 0) as sign_ups
    from created full join sign_ups using (day)
    union all
    -- A day that has none any more.
    select day, 0, 0, 0, 0
    from user_sync_daily as old
    where (old.creations <> 0 or old.sign_ups <> 0)
        and not exists (select from created where created.day = old.day)
        and not exists (select from sign_ups where sign_ups.day = old.day)
),
changed as (
    select seen.*, old.creations is distinct from seen.creations as has_others,
        coalesce(old.sign_ups, 0) is distinct from seen.sign_ups as has_other_sign_ups
    from seen left join user_sync_daily as old using (day)
    where (old.created, old.users, old.creations, coalesce(old.sign_ups, 0))
        is distinct from (seen.created, seen.users, seen.creations, seen.sign_ups)
),
written as (
    insert into user_sync_daily as old (day, created, users, creations, sign_ups)
    select day, created, users, creations, sign_ups from changed
    on conflict (day) do update
    set created = excluded.created, users = excluded.users, creations = excluded.creations, sign_ups = excluded.sign_ups
)
select day, has_others, has_other_sign_ups from changed where has_others or has_other_sign_ups
