-- What a transaction of the service must be, set and checked in the round trip that begins it. A session's own settings
-- do not survive a pooler: PgBouncer drops startup options or refuses them, and hands each transaction to another
-- server connection; RDS Proxy refuses options, and pins a connection on SET. It does not look into functions.
--
-- `{search_path}` is replaced by the schema when this runs.

-- A procedure, since a call costs less than a query. The path of nearly every message comes first, in one statement.
create procedure user_sync_begin(purpose text)
language plpgsql as $begin$
declare
    isolation constant text := case purpose when 'snapshot' then 'repeatable read' else 'read committed' end;
begin
    if purpose = 'logins'
        and current_setting('transaction_isolation') = 'read committed'
        and current_setting('client_encoding') = 'UTF8'
        and current_setting('transaction_read_only') = 'off'
    then
        perform
            set_config('search_path', '{search_path}', true),
            -- Our own edits are not the application's; see user_sync_note_edit below.
            set_config('user_sync.service', 'versioned', true),
            -- A batch that hangs must not hold its locks, and nor must one whose client is gone.
            set_config('statement_timeout', '60s', true),
            set_config('lock_timeout', '5s', true),
            set_config('idle_in_transaction_session_timeout', '10s', true),
            -- A message is deleted after the commit, so the commit must be durable.
            set_config('synchronous_commit', 'on', true),
            -- So that the update reads users by their key only, whatever joins them with the logins, and locks them in
            -- the order of their ids. A hash of either, or the table read whole, would have an order of its own.
            set_config('enable_hashjoin', 'off', true),
            set_config('enable_seqscan', 'off', true),
            -- One plan for every batch: left to itself, PostgreSQL plans each batch of fewer than ten anew.
            set_config('plan_cache_mode', 'force_generic_plan', true);
        return;
    end if;
    if purpose is null or purpose not in ('logins', 'events', 'command', 'question', 'snapshot', 'report') then
        raise exception 'user_sync_begin: no such purpose' using errcode = '55000',
            hint = 'The program is newer than the schema: run user-sync migrate.';
    end if;
    -- The locks depend on it: a snapshot older than a lock would miss what the lock waited for.
    if current_setting('transaction_isolation') <> isolation then
        raise exception 'user_sync_begin: the isolation level is %, and must be %',
            current_setting('transaction_isolation'), isolation using errcode = '55000';
    end if;
    if current_setting('client_encoding') <> 'UTF8' then
        raise exception 'user_sync_begin: client_encoding is %, and must be UTF8', current_setting('client_encoding')
            using errcode = '55000';
    end if;
    if purpose in ('logins', 'events', 'command') and current_setting('transaction_read_only') = 'on' then
        raise exception 'user_sync_begin: the server or the transaction is read-only' using errcode = '25006';
    end if;
    perform
        set_config('search_path', '{search_path}', true),
        set_config('user_sync.service', 'versioned', true),
        set_config('statement_timeout', case purpose when 'report' then '10min' else '60s' end, true),
        set_config('lock_timeout', '5s', true),
        set_config('idle_in_transaction_session_timeout', case purpose when 'events' then '10s' else '60s' end, true),
        set_config('synchronous_commit', 'on', true),
        set_config('TimeZone', 'UTC', true),
        set_config('DateStyle', 'ISO, MDY', true),
        -- Compiling a report takes longer than most of them do.
        set_config('jit', case purpose when 'report' then 'off' else current_setting('jit') end, true);
end
$begin$;

alter procedure user_sync_begin(text) owner to user_sync_owner;

revoke execute on procedure user_sync_begin(text) from public;
grant execute on procedure user_sync_begin(text) to user_sync_consumer, user_sync_reader;

-- The version of a row: everybody who changes one raises it, so that a row that was read can be told from one that was
-- changed since. PostgreSQL's own, xmin, does not exist on databases that only speak its protocol.
alter table users add column row_version bigint not null default 0;

grant update (row_version) on users to user_sync_consumer;

-- As users_note_app_edit of 0005, and the row's version: of a release that does not raise it, which says 'on' for a whole
-- session, it is raised here. A write of the service without any mark fails: it would pass for the application's, whose
-- columns the service then leaves alone for good.
--
-- A function of its own, because that one is whoever's migrated first. With the owner's rights, so that it can ask for the
-- names of the roles; nobody's objects are found by its path.
create function user_sync_note_edit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $note$
declare
    ownable constant text[] := array['name', 'first_name', 'last_name', 'date_of_birth', 'gender',
        'profile_picture_url', 'country_code', 'timezone', 'language'];
    prefix text;
    generated text[];
    before jsonb;
    after jsonb;
begin
    if current_setting('user_sync.service', true) = 'on' then
        new.row_version := old.row_version + 1;
        return new;
    end if;
    execute format('select role_prefix from %I.user_sync_deployment', tg_table_schema) into prefix;
    -- 'usage', never 'member': from PostgreSQL 16 on, whoever made a role is a member of it, and that is RDS's master.
    if (coalesce(pg_has_role(session_user, to_regrole(prefix || '_consumer'), 'usage'), false)
            or current_setting('role') = prefix || '_consumer')
        and not coalesce(pg_has_role(session_user, to_regrole(prefix || '_app'), 'usage'), false)
        and not (select rolsuper from pg_roles where rolname = session_user)
    then
        raise exception 'users: a write of the service without its mark, user_sync.service'
            using errcode = '55000', hint = 'Begin the transaction with user_sync_begin.';
    end if;
    -- A generated column has no value yet.
    generated := array(select attname::text from pg_attribute where attrelid = tg_relid and attgenerated <> '');
    before := to_jsonb(old) - generated;
    after := to_jsonb(new) - generated;
    if before = after then
        return new;
    end if;
    new.row_version := old.row_version + 1;
    new.app_owned := array(
        select name from unnest(ownable) as name
        where name = any (old.app_owned) or before -> name is distinct from after -> name);
    new.app_edited_at := greatest(old.app_edited_at, date_trunc('milliseconds', clock_timestamp()));
    new.updated_at := greatest(old.updated_at, new.app_edited_at);
    return new;
end
$note$;

alter function user_sync_note_edit() owner to user_sync_owner;

drop trigger users_note_app_edit on users;

-- Nothing of the row is compared here: a condition on a generated column is not permitted.
create trigger users_note_app_edit
    before update on users
    for each row
    when (current_setting('user_sync.service', true) is distinct from 'versioned')
    execute function user_sync_note_edit();

-- As in 0003, with the owner of the ledger in place of a role's name: a deployment may change the names of its roles.
create or replace function user_event_create_partitions(months_behind integer, months_ahead integer) returns setof text
language plpgsql as $$
declare
    this_month constant timestamp := date_trunc('month', now() at time zone 'utc');
    first_month timestamp;
    month timestamp;
    partition text;
begin
    lock table user_event_partitions in share row exclusive mode;
    select to_date(min(name), '"user_events_"YYYY_MM') into first_month
    from user_event_partitions;
    first_month := coalesce(first_month, this_month - pg_catalog.make_interval(months => months_behind));
    for month in
        select generate_series(first_month, this_month + pg_catalog.make_interval(months => months_ahead), interval '1 month')
    loop
        partition := 'user_events_' || to_char(month, 'YYYY_MM');
        continue when exists (select from user_event_partitions p where p.name = partition);
        insert into user_event_partitions (name, lower, upper)
        values (partition,
                user_event_bound(month at time zone 'utc'),
                user_event_bound((month + interval '1 month') at time zone 'utc'));
        execute pg_catalog.format(
            'create table %I partition of user_events for values from (%L) to (%L)',
            partition,
            user_event_bound(month at time zone 'utc'),
            user_event_bound((month + interval '1 month') at time zone 'utc'));
        execute pg_catalog.format('alter table %I owner to %I', partition,
            (select pg_get_userbyid(relowner) from pg_class where oid = 'user_events'::regclass));
        return next partition;
    end loop;
end
$$;
