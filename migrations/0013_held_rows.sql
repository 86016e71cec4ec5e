-- Whoever holds a row delays that row's messages and nothing else.
--
-- An update that names a column under a plain unique constraint, even unchanged, takes the lock that an insert of a row
-- with a foreign key to this one conflicts with, and then waits for a transaction of the application's that has done
-- nothing but such an insert. Columns of a partial unique index do not count as a key. The names stay.
--
-- A foreign key of somebody else's to users (email) or users (phone_number) needs the constraint: it is named, and nothing
-- is changed before it is gone.
do $indexes$
declare
    foreign_key text;
begin
    select format('%s of %s', conname, conrelid::regclass) into foreign_key
    from pg_constraint
    where contype = 'f' and confrelid = 'users'::regclass
      and conindid in ('users_email_key'::regclass, 'users_phone_number_key'::regclass);
    if found then
        raise exception 'users: the foreign key % refers to an address', foreign_key
            using errcode = '2BP01', hint = 'An address has another owner tomorrow: refer to users (id), then migrate again.';
    end if;
end
$indexes$;

create unique index users_email_partial on users (email) where email is not null;
create unique index users_phone_number_partial on users (phone_number) where phone_number is not null;
alter table users drop constraint users_email_key;
alter table users drop constraint users_phone_number_key;
alter index users_email_partial rename to users_email_key;
alter index users_phone_number_partial rename to users_phone_number_key;

-- As in 0012, with shorter waits.
create or replace procedure user_sync_begin(purpose text)
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
            -- A batch that hangs must not hold its locks, and nor must one whose client is gone. The client's own limit for
            -- the whole transaction is a little above this one.
            set_config('statement_timeout', '20s', true),
            -- Only who holds nothing else waits for a row.
            set_config('lock_timeout', '1s', true),
            set_config('idle_in_transaction_session_timeout', '10s', true),
            -- A message is deleted after the commit, so the commit must be durable.
            set_config('synchronous_commit', 'on', true),
            -- So that the update reads users by their key only, whatever joins them with the logins.
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
        set_config('statement_timeout', case purpose when 'report' then '10min' when 'events' then '20s' else '60s' end, true),
        set_config('lock_timeout', case purpose when 'events' then '2s' else '5s' end, true),
        -- A client that was stopped while it is being answered is neither idle nor in time, and holds its locks.
        set_config('tcp_user_timeout',
            case when purpose in ('events', 'command') then '12s' else current_setting('tcp_user_timeout') end, true),
        set_config('idle_in_transaction_session_timeout', case purpose when 'events' then '10s' else '60s' end, true),
        set_config('synchronous_commit', 'on', true),
        set_config('TimeZone', 'UTC', true),
        set_config('DateStyle', 'ISO, MDY', true),
        -- Compiling a report takes longer than most of them do.
        set_config('jit', case purpose when 'report' then 'off' else current_setting('jit') end, true);
end
$begin$;

