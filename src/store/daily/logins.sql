-- Counts the logins of the days from $1 to $2 that are to be counted again.
with stale as materialized (
    select day from user_sync_daily where day between $1::date and $2::date and logins_stale
),
login as materialized (
    select stale.day, event.user_id, extract(hour from event.occurred_at at time zone 'utc')::integer as hour,
        coalesce(event.data ->> 'client_id', '') as client_id
    from stale
    cross join lateral (
        select user_id, occurred_at, data from user_events as event
        where event.id >= user_event_bound(stale.day::timestamp at time zone 'utc')
            and event.id < user_event_bound((stale.day + 1)::timestamp at time zone 'utc')
            and (event.type = 'user.authenticated'
                or (event.type = 'user.confirmed' and event.data -> 'federated' = 'true'
                    and event.id = (select sign_up_id from users where users.id = event.user_id)))
    ) as event
),
clients as (
    insert into user_sync_daily_clients as old (day, client_id, logins)
    select day, client_id, count(*) from login group by 1, 2
    union all
    select day, client_id, 0 from user_sync_daily_clients as gone
    where logins <> 0 and day in (select day from stale)
        and not exists (select from login where login.day = gone.day and login.client_id = gone.client_id)
    on conflict (day, client_id) do update set logins = excluded.logins where old.logins <> excluded.logins
),
failure as materialized (
    select stale.day, failed.reported_by, coalesce(failed.reason, '') as reason, count(*) as failures
    from stale
    cross join lateral (
        select reported_by, reason from user_sync_failures
        where id >= user_event_bound(stale.day::timestamp at time zone 'utc')
            and id < user_event_bound((stale.day + 1)::timestamp at time zone 'utc')
    ) as failed
    group by 1, 2, 3
),
failures as (
    insert into user_sync_daily_failures as old (day, reported_by, reason, failures)
    select day, reported_by, reason, failures from failure
    on conflict (day, reported_by, reason) do update set failures = excluded.failures
    -- A month of failures that was dropped keeps its numbers.
    where old.failures < excluded.failures
),
by_hour as (
    select day, hour, count(*) as logins from login group by 1, 2
),
hours as (
    select stale.day, array_agg(coalesce(by_hour.logins, 0) order by hours.hour) as hours,
        coalesce(sum(by_hour.logins), 0)::bigint as logins
    from stale cross join generate_series(0, 23) as hours (hour)
    left join by_hour on by_hour.day = stale.day and by_hour.hour = hours.hour
    group by 1
)
update user_sync_daily as daily
set logins = hours.logins, hours = hours.hours, logins_stale = false
from hours
where daily.day = hours.day
