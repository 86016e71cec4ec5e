-- The months of the ledger up to today, the oldest first: from which day on it has events, up to which day (exclusive), how
-- many rows were ever inserted into it and its month of failures, and whether these are as many as when it was last looked at.
-- PostgreSQL's own count is late by seconds and begins anew after a crash: then it differs, and is only a reason to look.
with first_event as (
    select (occurred_at at time zone 'utc')::date as day from user_events order by id limit 1
),
month as (
    select name, to_date(name, '"user_events_"YYYY_MM') as first_day,
        coalesce((select sum(n_tup_ins) from pg_stat_all_tables
            where schemaname = current_schema()
                and relname in (name, replace(name, 'user_events_', 'user_sync_failures_'))), 0)::bigint as inserted
    from user_event_partitions
)
select name, greatest(first_day, first_event.day) as first_day,
    least((first_day + interval '1 month')::date, (now() at time zone 'utc')::date + 1) as end_day,
    inserted,
    inserted > 0 and inserted = coalesce(
        (select inserted from user_sync_daily_months as seen where seen.name = month.name), -1) as is_as_it_was
from month, first_event
where first_day <= (now() at time zone 'utc')::date
    and (first_day + interval '1 month')::date > first_event.day
order by first_day
