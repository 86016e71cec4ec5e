-- What operators ask most often, as views that any tool can read. Days and weeks are UTC; weeks are ISO weeks and
-- begin on Monday. The views run with their owner's rights: who may read them needs no grant on the tables.
--
-- Those that read the ledger bound its ids themselves, so that only the months concerned are touched.

create view report_user_growth as
select (created_at at time zone 'utc')::date as day, count(*) as users
from users
-- A sub that was erased before it was known was never created.
where not is_deleted and created_at <= now()
group by 1;

comment on view report_user_growth is 'users by the day of their creation, without those deleted since';

create view report_active_users as
select count(*) as active_users,
    count(*) filter (where last_login_at > now() - interval '1 day') as signed_in_1_day,
    count(*) filter (where last_login_at > now() - interval '7 days') as signed_in_7_days,
    count(*) filter (where last_login_at > now() - interval '30 days') as signed_in_30_days
from users
where is_active and not is_deleted;

comment on view report_active_users is 'active users, and how many of them signed in within a day, a week and 30 days';

create view report_login_activity as
select id as user_id, name, email, login_count, last_login_at, last_login_device,
    floor(extract(epoch from now() - last_login_at) / 86400)::integer as days_since_login
from users
where last_login_at is not null and not is_deleted;

comment on view report_login_activity is 'users who ever signed in; personal data';

create view report_devices as
select last_login_device as device, count(*) as users
from users
where last_login_device is not null and not is_deleted
group by 1;

comment on view report_devices is 'users by the kind of device of their last login, where it is known';

-- Days inside, one range of ids each: a condition on the day decides which of them are counted at all. A federated
-- user's first sign-in is a confirmation; it is the sign-up that counts, as in login_count, not a repeated one.
create view report_logins_by_day as
select days.day::date as day, counted.logins, counted.users
from generate_series(
    date_trunc('day', now() at time zone 'utc') - interval '399 days',
    date_trunc('day', now() at time zone 'utc'),
    interval '1 day') as days (day)
cross join lateral (
    select count(*) as logins, count(distinct event.user_id) as users
    from user_events as event
    where event.id >= user_event_bound(days.day at time zone 'utc')
        and event.id < user_event_bound((days.day + interval '1 day') at time zone 'utc')
        and (event.type = 'user.authenticated'
            or (event.type = 'user.confirmed' and event.data -> 'federated' = 'true'
                and event.id = (select sign_up_id from users where users.id = event.user_id)))
) as counted;

comment on view report_logins_by_day is
    'logins, and users who signed in, a day of the last 400; deleted users included, dropped months not';

-- Deleted users stay in their cohort: they are users who did not stay. A week that ended before the ledger's first
-- event, or of which a part is dropped already, is not known: null, not zero.
create view report_retention as
with bounds as (
    select date_trunc('week', now() at time zone 'utc') as this_week,
        date_trunc('week', now() at time zone 'utc') - interval '25 weeks' as first_week,
        (select lower from user_event_partitions order by lower limit 1) as kept_from,
        (select id from user_events order by id limit 1) as first_event
),
members as (
    select id as user_id, date_trunc('week', created_at at time zone 'utc') as cohort
    from users, bounds
    where created_at >= bounds.first_week at time zone 'utc'
),
cohorts as (
    select cohort, count(*) as users from members group by cohort
),
sign_ins as (
    select distinct user_id, date_trunc('week', occurred_at at time zone 'utc') as week
    from user_events
    where id >= user_event_bound(
            (date_trunc('week', now() at time zone 'utc') - interval '25 weeks') at time zone 'utc')
        and (type = 'user.authenticated' or (type = 'user.confirmed' and data -> 'federated' = 'true'))
),
counted as (
    select members.cohort, sign_ins.week, count(*) as users
    from members join sign_ins using (user_id)
    group by members.cohort, sign_ins.week
)
select cohorts.cohort::date as cohort_week,
    (extract(epoch from weeks.week - cohorts.cohort) / (7 * 86400))::integer as week_number,
    cohorts.users as cohort_users,
    case
        when user_event_bound(weeks.week at time zone 'utc') >= bounds.kept_from
            and user_event_bound((weeks.week + interval '1 week') at time zone 'utc') > bounds.first_event
        then coalesce(counted.users, 0)
    end as signed_in_users
from bounds, cohorts
cross join lateral generate_series(
    cohorts.cohort, date_trunc('week', now() at time zone 'utc'), interval '1 week') as weeks (week)
left join counted on counted.cohort = cohorts.cohort and counted.week = weeks.week;

comment on view report_retention is
    'of the users created in a week, how many signed in in that week (0) and in each after it; the last 26 weeks';

alter view report_user_growth owner to user_sync_owner;
alter view report_active_users owner to user_sync_owner;
alter view report_login_activity owner to user_sync_owner;
alter view report_devices owner to user_sync_owner;
alter view report_logins_by_day owner to user_sync_owner;
alter view report_retention owner to user_sync_owner;

grant select on report_user_growth, report_active_users, report_login_activity, report_devices,
    report_logins_by_day, report_retention to user_sync_consumer, user_sync_reader;

-- So that `user-sync doctor` can tell, as the consumer, whether the schema is current.
do $$
begin
    if to_regclass('_sqlx_migrations') is not null then
        grant select on _sqlx_migrations to user_sync_consumer, user_sync_reader;
    end if;
end
$$;
