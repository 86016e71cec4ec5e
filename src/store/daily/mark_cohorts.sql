-- Marks what follows from days that have other users than before ($1): who came back in the weeks since, and their first login.
with days as (
    update user_sync_daily set first_stale = true
    where events is not null and day = any ($1::date[]) and not first_stale
)
update user_sync_daily_weeks as old
set is_stale = true
where not is_stale and exists (
    select from unnest($1::date[]) as day
    where old.week between date_trunc('week', day::timestamp)::date and day + 7 * 26)
