-- What others record of sign-ins: where each came from (contexts), and those that failed. They come late, in any order, again
-- or never, and are no logins: a ledger of their own, with a retention of its own, so that no flood of them and no month of
-- them is in the way of the logins'.

create table user_sync_contexts (
    id           uuid        constraint user_sync_contexts_pkey primary key, -- a UUIDv7 of the record's time
    user_id      uuid,       -- null where the record names nobody
    user_pool_id text        not null,
    client_id    text,
    reported_by  text        not null, -- application, threat_protection or cloudtrail
    occasion     text        not null, -- sign_in or sign_up
    is_witness   boolean     not null, -- the address is a backend's: it only says that there was a sign-in
    occurred_at  timestamptz not null,
    recorded_at  timestamptz not null default now(),
    data         jsonb       not null
) partition by range (id);

comment on table user_sync_contexts is 'every record of where a sign-in came from, once; append-only';

create table user_sync_failures (
    id           uuid        constraint user_sync_failures_pkey primary key,
    user_id      uuid,
    user_pool_id text        not null,
    client_id    text,
    reason       text,
    network      cidr,
    reported_by  text        not null,
    occurred_at  timestamptz not null,
    data         jsonb       -- the details, of a sample where there are many
) partition by range (id);

comment on table user_sync_failures is 'every record of a sign-in that failed, once; append-only';

-- Which ids both can take.
create table user_sync_record_partitions (
    name  text constraint user_sync_record_partitions_pkey primary key, -- the month: YYYY_MM
    lower uuid not null constraint user_sync_record_partitions_lower_key unique,
    upper uuid not null constraint user_sync_record_partitions_upper_key unique,
    constraint user_sync_record_partitions_order_check check (lower < upper)
);

comment on table user_sync_record_partitions is 'the months of user_sync_contexts and user_sync_failures, without a gap';

-- The contexts that a user's row follows from: the latest of each reporter, and the least of a sign-up. Without a foreign key:
-- the context may come before the user, or never have one.
create table user_sync_context_states (
    user_id uuid  constraint user_sync_context_states_pkey primary key,
    state   jsonb not null
);

comment on table user_sync_context_states is 'the contexts that the login columns of users follow from, a row a user';

create table user_sync_context_baseline (
    user_id uuid  constraint user_sync_context_baseline_pkey primary key,
    state   jsonb not null
);

comment on table user_sync_context_baseline is 'what the contexts of dropped months amounted to, a row a user';

-- Null in what is there: `user-sync verify --repair` writes the clients of the last logins.
alter table users
    add column last_login_client_id text,
    add column last_login_source text,
    add column last_login_own jsonb,
    add column created_ip_for uuid,
    add column contexts_until timestamptz;

comment on column users.last_login_client_id is 'the app client of the last login';
comment on column users.last_login_source is
    'who said where the last login came from: application, threat_protection, client or cloudtrail';
comment on column users.last_login_own is 'what the last login itself said, where the columns show what others recorded of it';
comment on column users.created_ip_for is
    'the first confirmation, where created_ip is not its own word but a record''s of the sign-up';
comment on column users.contexts_until is 'the time of the latest context that is kept';

alter table user_sync_contexts owner to user_sync_owner;
alter table user_sync_failures owner to user_sync_owner;
alter table user_sync_record_partitions owner to user_sync_owner;
alter table user_sync_context_states owner to user_sync_owner;
alter table user_sync_context_baseline owner to user_sync_owner;

-- Makes the months of both up to months_ahead after this one, where they are missing, as user_event_create_partitions does.
create function user_sync_create_record_partitions(months_behind integer, months_ahead integer) returns setof text
language plpgsql as $$
declare
    this_month constant timestamp := date_trunc('month', now() at time zone 'utc');
    first_month timestamp;
    month timestamp;
    label text;
    part text;
    whole text;
begin
    lock table user_sync_record_partitions in share row exclusive mode;
    select to_date(min(name), 'YYYY_MM') into first_month from user_sync_record_partitions;
    first_month := coalesce(first_month, this_month - pg_catalog.make_interval(months => months_behind));
    for month in
        select generate_series(first_month, this_month + pg_catalog.make_interval(months => months_ahead), interval '1 month')
    loop
        label := to_char(month, 'YYYY_MM');
        continue when exists (select from user_sync_record_partitions p where p.name = label);
        insert into user_sync_record_partitions (name, lower, upper)
        values (label,
                user_event_bound(month at time zone 'utc'),
                user_event_bound((month + interval '1 month') at time zone 'utc'));
        foreach part in array array[
            'user_sync_contexts_' || to_char(month, 'YYYY_MM'), 'user_sync_failures_' || to_char(month, 'YYYY_MM')]
        loop
            whole := replace(part, '_' || label, '');
            execute pg_catalog.format('create table %I (like %I including all)', part, whole);
            execute pg_catalog.format('alter table %I owner to %I', part,
                (select pg_get_userbyid(relowner) from pg_class where oid = 'user_sync_contexts'::regclass));
            execute pg_catalog.format(
                'alter table %I attach partition %I for values from (%L) to (%L)',
                whole, part,
                user_event_bound(month at time zone 'utc'),
                user_event_bound((month + interval '1 month') at time zone 'utc'));
        end loop;
        return next label;
    end loop;
end
$$;

alter function user_sync_create_record_partitions(integer, integer) owner to user_sync_owner;

-- Behind: logs and trails may be replayed after months.
select user_sync_create_record_partitions(13, 3);

grant select on user_sync_contexts, user_sync_failures, user_sync_record_partitions, user_sync_context_states,
    user_sync_context_baseline to user_sync_consumer, user_sync_reader;
grant insert (id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness, occurred_at, data)
    on user_sync_contexts to user_sync_consumer;
grant insert (id, user_id, user_pool_id, client_id, reason, network, reported_by, occurred_at, data)
    on user_sync_failures to user_sync_consumer;
grant insert (user_id, state), update (state) on user_sync_context_states to user_sync_consumer;
grant update (last_login_client_id, last_login_source, last_login_own, created_ip_for, contexts_until) on users to user_sync_consumer;

-- Failures, counted. An address is none of a network's business here: what is shown is the network. Days inside, one range of
-- ids each, as in report_logins_by_day.
create view report_failures as
select days.day::date as day, counted.reported_by, counted.client_id, counted.reason, counted.network, counted.failures,
    counted.users
from generate_series(
    date_trunc('day', now() at time zone 'utc') - interval '399 days',
    date_trunc('day', now() at time zone 'utc'),
    interval '1 day') as days (day)
cross join lateral (
    select reported_by, client_id, reason, network, count(*) as failures, count(distinct user_id) as users
    from user_sync_failures
    where id >= user_event_bound(days.day at time zone 'utc')
        and id < user_event_bound((days.day + interval '1 day') at time zone 'utc')
    group by 1, 2, 3, 4
) as counted;

comment on view report_failures is 'failed sign-ins by day, reporter, client, reason and network: two reporters may record one';

create view report_failing_users as
select user_id, reported_by, count(*) as failures, min(occurred_at) as first_at, max(occurred_at) as last_at,
    count(distinct network) as networks
from user_sync_failures
where user_id is not null
group by 1, 2;

comment on view report_failing_users is 'users whose sign-ins failed, and how often, by reporter';

-- What was counted beside what was recorded, by day and client. Which login goes with which record, `user-sync audit` says.
create view report_audit as
select days.day::date as day, counted.client_id, counted.logins, counted.cloudtrail, counted.threat_protection,
    counted.application
from generate_series(
    date_trunc('day', now() at time zone 'utc') - interval '399 days',
    date_trunc('day', now() at time zone 'utc'),
    interval '1 day') as days (day)
cross join lateral (
    select client_id,
        count(*) filter (where reported_by is null) as logins,
        count(*) filter (where reported_by = 'cloudtrail') as cloudtrail,
        count(*) filter (where reported_by = 'threat_protection') as threat_protection,
        count(*) filter (where reported_by = 'application') as application
    from (
        select data ->> 'client_id' as client_id, null as reported_by
        from user_events
        where id >= user_event_bound(days.day at time zone 'utc')
            and id < user_event_bound((days.day + interval '1 day') at time zone 'utc')
            and (type = 'user.authenticated' or (type = 'user.confirmed' and data -> 'federated' = 'true'))
        union all
        select client_id, reported_by
        from user_sync_contexts
        where id >= user_event_bound(days.day at time zone 'utc')
            and id < user_event_bound((days.day + interval '1 day') at time zone 'utc')
            and occasion = 'sign_in' and coalesce(data ->> 'flow', '') not ilike 'refresh%'
    ) as seen
    group by 1
) as counted;

comment on view report_audit is 'logins in the ledger beside successful sign-ins that others recorded, by day and client';

alter view report_failures owner to user_sync_owner;
alter view report_failing_users owner to user_sync_owner;
alter view report_audit owner to user_sync_owner;

grant select on report_failures, report_failing_users, report_audit to user_sync_consumer, user_sync_reader;
