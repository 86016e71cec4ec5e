-- Counts how soon the users who were created on the days from $1 to $2 signed in.
with cohort as materialized (
    select id, created_at, (created_at at time zone 'utc')::date as day
    from users
    where created_at >= $1::date::timestamp at time zone 'utc' and created_at < ($2::date + 1)::timestamp at time zone 'utc'
        and created_at <= now()
),
first as (
    select event.user_id, min(event.occurred_at) as at
    from user_events as event
    join cohort on cohort.id = event.user_id and event.occurred_at >= cohort.day::timestamp at time zone 'utc'
    where event.id >= user_event_bound($1::date::timestamp at time zone 'utc')
        and event.id < user_event_bound(($2::date + 9)::timestamp at time zone 'utc')
        and (event.type = 'user.authenticated'
            or (event.type = 'user.confirmed' and event.data -> 'federated' = 'true'
                and event.id = (select sign_up_id from users where users.id = event.user_id)))
    group by 1
),
counted as (
    select cohort.day,
        count(*) filter (where first.at <= created_at + interval '1 minute') as first_minute,
        count(*) filter (where first.at <= created_at + interval '1 hour') as first_hour,
        count(*) filter (where first.at <= created_at + interval '1 day') as first_day,
        count(*) filter (where first.at <= created_at + interval '7 days') as first_week
    from cohort left join first on first.user_id = cohort.id
    group by 1
)
update user_sync_daily as daily
set first_minute = coalesce(counted.first_minute, 0), first_hour = coalesce(counted.first_hour, 0),
    first_day = coalesce(counted.first_day, 0), first_week = coalesce(counted.first_week, 0), first_stale = false
from generate_series($1::date::timestamp, $2::date::timestamp, interval '1 day') as days (at)
left join counted on counted.day = days.at::date
where daily.day = days.at::date and daily.first_stale
