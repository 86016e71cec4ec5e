-- What the console writes: what was done with it, what is about to be done, and what became of that. All of it is only ever
-- added to: its role may insert, and neither update nor delete. So whoever takes the console over can hide nothing that was
-- written before. The role and its rights are made beside the migrations, at the end of every `migrate`: see
-- src/store/migrate/grant_console.sql.

-- What was done. `at` is the database's own clock, which no client sets.
create table user_sync_console_trail (
    id     uuid        constraint user_sync_console_trail_pkey primary key,
    at     timestamptz not null default clock_timestamp(),
    who    text        not null constraint user_sync_console_trail_who_check check (char_length(who) between 1 and 320),
    did    text        not null constraint user_sync_console_trail_did_check check (did ~ '^[a-z_]{1,40}$'),
    what   text        constraint user_sync_console_trail_what_check check (char_length(what) <= 400),
    reason text        constraint user_sync_console_trail_reason_check check (char_length(reason) <= 400),
    result text        constraint user_sync_console_trail_result_check check (char_length(result) <= 400)
);

comment on table user_sync_console_trail is 'what was done with the console, refusals too; the console may only add to it';

create index user_sync_console_trail_who_idx on user_sync_console_trail (who, id);
create index user_sync_console_trail_did_idx on user_sync_console_trail (did, id);
create index user_sync_console_trail_who_did_idx on user_sync_console_trail (who, did, id);

-- What is about to be done, bound to what was seen: `ids` are all that may be touched.
create table user_sync_console_plans (
    id      uuid        constraint user_sync_console_plans_pkey primary key,
    at      timestamptz not null default clock_timestamp(),
    who     text        not null constraint user_sync_console_plans_who_check check (char_length(who) between 1 and 320),
    kind    text        not null constraint user_sync_console_plans_kind_check check (kind ~ '^[a-z_]{1,40}$'),
    scope   jsonb       not null constraint user_sync_console_plans_scope_check check (octet_length(scope::text) <= 4096),
    ids     text[]      not null constraint user_sync_console_plans_ids_check
                        check (cardinality(ids) <= 100000 and octet_length(array_to_string(ids, '')) <= 8388608),
    count   bigint      not null constraint user_sync_console_plans_count_check check (count >= 0),
    facts   jsonb       not null constraint user_sync_console_plans_facts_check check (octet_length(facts::text) <= 4096),
    samples jsonb       not null constraint user_sync_console_plans_samples_check check (octet_length(samples::text) <= 8192)
);

comment on table user_sync_console_plans is 'what somebody is about to do with the console: nothing has been done yet';

-- A plan that was started. One task for each plan: of two who start it, one is told so.
create table user_sync_console_tasks (
    id     uuid        constraint user_sync_console_tasks_pkey primary key,
    plan   uuid        not null constraint user_sync_console_tasks_plan_key unique
                       constraint user_sync_console_tasks_plan_fkey references user_sync_console_plans (id),
    at     timestamptz not null default clock_timestamp(),
    who    text        not null constraint user_sync_console_tasks_who_check check (char_length(who) between 1 and 320),
    reason text        constraint user_sync_console_tasks_reason_check check (char_length(reason) <= 400),
    rate   integer     not null constraint user_sync_console_tasks_rate_check check (rate between 1 and 10000)
);

comment on table user_sync_console_tasks is 'plans that were started; what became of them is in user_sync_console_task_notes';

-- How far a task is, and how it ended: the latest note that is no `cancel` counts. A task without an end whose latest note is
-- old has nobody who does it.
create table user_sync_console_task_notes (
    task   uuid        not null
                       constraint user_sync_console_task_notes_task_fkey references user_sync_console_tasks (id),
    id     uuid        not null,
    at     timestamptz not null default clock_timestamp(),
    state  text        not null constraint user_sync_console_task_notes_state_check
                       check (state in ('running', 'cancel', 'done', 'cancelled', 'failed')),
    who    text        constraint user_sync_console_task_notes_who_check check (char_length(who) between 1 and 320),
    done   bigint      constraint user_sync_console_task_notes_done_check check (done >= 0),
    total  bigint      constraint user_sync_console_task_notes_total_check check (total >= 0),
    counts jsonb       constraint user_sync_console_task_notes_counts_check check (octet_length(counts::text) <= 2048),
    error  text        constraint user_sync_console_task_notes_error_check check (error ~ '^[a-z0-9_ .]{1,100}$'),
    constraint user_sync_console_task_notes_pkey primary key (task, id)
);

comment on table user_sync_console_task_notes is 'how far a task of the console is, and how it ended: the latest note counts';

-- A task is cancelled once, and ends once.
create unique index user_sync_console_task_notes_cancel_key on user_sync_console_task_notes (task) where state = 'cancel';
create unique index user_sync_console_task_notes_end_key on user_sync_console_task_notes (task)
    where state in ('done', 'cancelled', 'failed');

alter table user_sync_console_trail owner to user_sync_owner;
alter table user_sync_console_plans owner to user_sync_owner;
alter table user_sync_console_tasks owner to user_sync_owner;
alter table user_sync_console_task_notes owner to user_sync_owner;

-- As in 0013, and a page's question: read only, and given up before anybody waits for it in vain.
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
            -- Our own edits are not the application's; see user_sync_note_edit.
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
    if purpose is null or purpose not in ('logins', 'events', 'command', 'question', 'snapshot', 'report', 'page') then
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
    if purpose = 'page' and current_setting('transaction_read_only') <> 'on' then
        raise exception 'user_sync_begin: a page only reads, and the transaction may write' using errcode = '55000';
    end if;
    if purpose in ('logins', 'events', 'command') and current_setting('transaction_read_only') = 'on' then
        raise exception 'user_sync_begin: the server or the transaction is read-only' using errcode = '25006';
    end if;
    perform
        set_config('search_path', '{search_path}', true),
        set_config('user_sync.service', 'versioned', true),
        set_config('statement_timeout',
            case purpose when 'report' then '10min' when 'events' then '20s' when 'page' then '5s' else '60s' end, true),
        set_config('lock_timeout', case purpose when 'events' then '2s' when 'page' then '1s' else '5s' end, true),
        -- A client that was stopped while it is being answered is neither idle nor in time, and holds its locks.
        set_config('tcp_user_timeout',
            case when purpose in ('events', 'command') then '12s' else current_setting('tcp_user_timeout') end, true),
        set_config('idle_in_transaction_session_timeout',
            case when purpose in ('events', 'page') then '10s' else '60s' end, true),
        set_config('synchronous_commit', 'on', true),
        set_config('TimeZone', 'UTC', true),
        set_config('DateStyle', 'ISO, MDY', true),
        -- Compiling a report takes longer than most of them do.
        set_config('jit', case when purpose in ('report', 'page') then 'off' else current_setting('jit') end, true);
end
$begin$;

