-- Which days from $1 up to $2 (exclusive) have another number of events or failures than when they were counted. The ledgers
-- are append-only: what changed has more. Each day is a range of the primary key's index.
with counted as (
    select day::date as day,
        (select count(*) from user_events
         where id >= user_event_bound(day at time zone 'utc')
             and id < user_event_bound((day + interval '1 day') at time zone 'utc')) as events,
        (select count(*) from user_sync_failures
         where id >= user_event_bound(day at time zone 'utc')
             and id < user_event_bound((day + interval '1 day') at time zone 'utc')) as failed
    from generate_series($1::date::timestamp, $2::date::timestamp - interval '1 day', interval '1 day') as days (day)
)
insert into user_sync_daily as old (day, events, failed, logins_stale, active_stale, first_stale)
select day, events, failed, true, true, true from counted
on conflict (day) do update
set events = excluded.events, failed = excluded.failed, logins_stale = true, active_stale = true, first_stale = true
-- Fewer: the month was dropped meanwhile. Its numbers stay.
where old.events is null or old.events < excluded.events or old.failed < excluded.failed
returning day
