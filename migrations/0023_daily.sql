-- What the console's analytics show, by day: counted once, kept, and counted again where a day changed, by
-- `user-sync report refresh`. No page counts the ledger, and the numbers of a day outlive the month that it was counted from.
--
-- Days and weeks are UTC, weeks begin on Monday, and what a login is the views report_* say (0008).

create table user_sync_daily (
    day         date     constraint user_sync_daily_pkey primary key,
    -- What the numbers were counted from: a day changed if these did. Null where the ledger was never asked.
    events      bigint,  -- in the ledger
    failed      bigint,  -- in user_sync_failures
    sign_ups    numeric, -- a sum over the confirmations that count as logins; which do, a late event may change
    creations   numeric, -- a sum over the users who were created
    -- Of the users that there are.
    created     bigint   not null default 0, -- all of them, deleted since or not
    users       bigint   not null default 0, -- without those deleted since, as report_user_growth
    -- Of the ledger; null where it does not say.
    logins      bigint,  -- as report_logins_by_day
    hours       bigint[], -- the same by hour, 24 of them
    active_1    bigint,  -- users who signed in on the day,
    active_7    bigint,  -- on it or the 6 days before,
    active_30   bigint,  -- on it or the 29 days before
    first_minute bigint, -- of the users who were created: who signed in within a minute,
    first_hour  bigint,
    first_day   bigint,
    first_week  bigint,  -- within 7 days
    -- What is to be counted again.
    logins_stale boolean not null default false,
    active_stale boolean not null default false,
    first_stale  boolean not null default false
);

create table user_sync_daily_clients (
    day       date,
    client_id text, -- empty where it is not known
    logins    bigint not null,
    constraint user_sync_daily_clients_pkey primary key (day, client_id)
);

create table user_sync_daily_failures (
    day         date,
    reported_by text,
    reason      text, -- empty where it is not known
    failures    bigint not null,
    constraint user_sync_daily_failures_pkey primary key (day, reported_by, reason)
);

-- Of the users that there are now.
create table user_sync_daily_shares (
    kind  text, -- device or country
    name  text, -- empty where it is not known
    users bigint not null,
    constraint user_sync_daily_shares_pkey primary key (kind, name)
);

create table user_sync_daily_weeks (
    week       date    constraint user_sync_daily_weeks_pkey primary key, -- its Monday
    is_counted boolean not null default false,
    is_stale   boolean not null default true
);

-- No row of a counted week: nobody.
create table user_sync_daily_retention (
    week      date,
    cohort    date, -- the week in which they were created
    signed_in bigint not null,
    constraint user_sync_daily_retention_pkey primary key (week, cohort)
);

-- How many rows PostgreSQL ever inserted into a month's table when it was last looked at: a month of long ago whose number is
-- the same has nothing new.
create table user_sync_daily_months (
    name     text   constraint user_sync_daily_months_pkey primary key,
    inserted bigint not null
);

create table user_sync_daily_state (
    singleton  boolean constraint user_sync_daily_state_pkey primary key default true
               constraint user_sync_daily_state_singleton_check check (singleton),
    counted_at timestamptz -- when the last count began that came to its end
);

insert into user_sync_daily_state default values;

comment on table user_sync_daily is 'what analytics show, a row a day; user-sync report refresh counts it';
comment on table user_sync_daily_clients is 'logins by day and app client';
comment on table user_sync_daily_failures is 'failed sign-ins by day, reporter and reason';
comment on table user_sync_daily_shares is 'users by the device of their last login, and by country';
comment on table user_sync_daily_weeks is 'the weeks of user_sync_daily_retention';
comment on table user_sync_daily_retention is 'of the users created in a week, how many signed in in another';
comment on table user_sync_daily_months is 'how far each month of the ledgers was looked at';
comment on table user_sync_daily_state is 'one row: when user_sync_daily was last counted';

alter table user_sync_daily owner to user_sync_owner;
alter table user_sync_daily_clients owner to user_sync_owner;
alter table user_sync_daily_failures owner to user_sync_owner;
alter table user_sync_daily_shares owner to user_sync_owner;
alter table user_sync_daily_weeks owner to user_sync_owner;
alter table user_sync_daily_retention owner to user_sync_owner;
alter table user_sync_daily_months owner to user_sync_owner;
alter table user_sync_daily_state owner to user_sync_owner;

grant select on user_sync_daily, user_sync_daily_clients, user_sync_daily_failures, user_sync_daily_shares,
    user_sync_daily_weeks, user_sync_daily_retention, user_sync_daily_months, user_sync_daily_state
    to user_sync_consumer, user_sync_reader;

-- Whoever counts needs no more than the consumer has: it reads the same, and deletes nothing. What is no more is 0.
grant insert, update on user_sync_daily, user_sync_daily_clients, user_sync_daily_failures, user_sync_daily_shares,
    user_sync_daily_weeks, user_sync_daily_retention, user_sync_daily_months to user_sync_consumer;
grant update (counted_at) on user_sync_daily_state to user_sync_consumer;
