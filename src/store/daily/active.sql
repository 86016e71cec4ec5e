-- Counts who signed in on the days from $1 to $2, within 7 and within 30 days: of each day those whose next login is after the
-- last day that is asked. $3 is the first day of which the ledger has everything.
with seen as (
    select distinct event.user_id, (event.occurred_at at time zone 'utc')::date as day
    from user_events as event
    where event.id >= user_event_bound(greatest($1::date - 29, $3::date)::timestamp at time zone 'utc')
        and event.id < user_event_bound(($2::date + 1)::timestamp at time zone 'utc')
        and (event.type = 'user.authenticated'
            or (event.type = 'user.confirmed' and event.data -> 'federated' = 'true'
                and event.id = (select sign_up_id from users where users.id = event.user_id)))
),
followed as (
    select day, lead(day) over (partition by user_id order by day) as next_day from seen
),
runs as (
    select day, next_day, count(*) as users from followed group by 1, 2
),
counted as (
    select asked.day,
        coalesce(sum(runs.users) filter (where runs.day = asked.day), 0)::bigint as active_1,
        coalesce(sum(runs.users) filter (where runs.day > asked.day - 7), 0)::bigint as active_7,
        coalesce(sum(runs.users), 0)::bigint as active_30
    from generate_series($1::date::timestamp, $2::date::timestamp, interval '1 day') as days (at)
    cross join lateral (select days.at::date as day) as asked
    left join runs on runs.day > asked.day - 30 and runs.day <= asked.day
        and (runs.next_day is null or runs.next_day > asked.day)
    group by 1
)
update user_sync_daily as daily
set active_1 = counted.active_1,
    -- What the ledger has only a part of stays as it was counted.
    active_7 = case when daily.day - 6 >= $3::date then counted.active_7 else daily.active_7 end,
    active_30 = case when daily.day - 29 >= $3::date then counted.active_30 else daily.active_30 end,
    active_stale = false
from counted
where daily.day = counted.day and daily.active_stale
