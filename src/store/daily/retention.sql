-- Counts who came back in the week that begins on $1, by the week in which they were created: as report_retention.
with signed_in as (
    select distinct user_id
    from user_events
    where id >= user_event_bound($1::date::timestamp at time zone 'utc')
        and id < user_event_bound(($1::date + 7)::timestamp at time zone 'utc')
        and (type = 'user.authenticated' or (type = 'user.confirmed' and data -> 'federated' = 'true'))
),
counted as (
    select date_trunc('week', created_at at time zone 'utc')::date as cohort, count(*) as signed_in
    from signed_in join users on users.id = signed_in.user_id
    where created_at >= ($1::date - 25 * 7)::timestamp at time zone 'utc'
        and created_at < ($1::date + 7)::timestamp at time zone 'utc'
    group by 1
),
written as (
    insert into user_sync_daily_retention as old (week, cohort, signed_in)
    select $1::date, cohort, signed_in from counted
    union all
    select week, cohort, 0 from user_sync_daily_retention as gone
    where week = $1::date and signed_in <> 0 and not exists (select from counted where counted.cohort = gone.cohort)
    on conflict (week, cohort) do update set signed_in = excluded.signed_in where old.signed_in <> excluded.signed_in
)
update user_sync_daily_weeks set is_counted = true, is_stale = false where week = $1::date
