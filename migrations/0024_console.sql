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
