-- Marks what follows from days that changed ($1): the 29 days after each, whose users of 30 days it is one of; the 7 days
-- before, whose users' first login it may have; its week.
with changed as (select unnest($1::date[]) as day),
days as (
    update user_sync_daily as daily
    set logins_stale = logins_stale or day = any ($1::date[]),
        active_stale = active_stale or exists (select from changed where daily.day between changed.day and changed.day + 29),
        first_stale = first_stale or exists (select from changed where daily.day between changed.day - 7 and changed.day)
    where events is not null
        and exists (select from changed where daily.day between changed.day - 7 and changed.day + 29)
)
insert into user_sync_daily_weeks as old (week)
select distinct date_trunc('week', day::timestamp)::date from changed
on conflict (week) do update set is_stale = true where not old.is_stale
