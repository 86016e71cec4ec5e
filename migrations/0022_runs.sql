-- What ran: reconcile, verify, audit, maintain and the drift check write down when they began, how far they are, what they
-- found, and how they ended, so that whoever looks need not have been there. No row of anybody's is in it: counts by kind.
-- A command goes on where it cannot write here; the release before knows nothing of it.
create table user_sync_runs (
    id            uuid        constraint user_sync_runs_pkey primary key,
    what          text        not null
        constraint user_sync_runs_what_check check (what in ('reconcile', 'verify', 'audit', 'maintain', 'drift')),
    login         text        not null default session_user, -- nobody is granted to write it
    started_by    text        constraint user_sync_runs_started_by_check check (length(started_by) between 1 and 200),
    scope         jsonb       not null
        constraint user_sync_runs_scope_check check (jsonb_typeof(scope) = 'object' and length(scope::text) <= 4096),
    started_at    timestamptz not null default now(),
    progressed_at timestamptz not null default now(), -- the last sign of life
    done          bigint      not null default 0 constraint user_sync_runs_done_check check (done >= 0),
    total         bigint      constraint user_sync_runs_total_check check (total >= 0), -- an estimate
    ended_at      timestamptz,
    findings      jsonb
        constraint user_sync_runs_findings_check
        check (jsonb_typeof(findings) = 'object' and length(findings::text) <= 16384),
    error         text        constraint user_sync_runs_error_check check (length(error) between 1 and 200),
    constraint user_sync_runs_end_check check (num_nonnulls(findings, error) = case when ended_at is null then 0 else 1 end)
);

comment on table user_sync_runs is
    'what ran: reconcile, verify, audit, maintain and the drift check; counts, no values. maintain drops what is older than 400 days';
comment on column user_sync_runs.login is 'who connected; the database says it';
comment on column user_sync_runs.started_by is 'for whom, where the console started it; its word';
comment on column user_sync_runs.error is 'the class of what ended it early';

-- The latest of each kind, and a kind's last weeks. Progress changes no column of it.
create index user_sync_runs_latest_idx on user_sync_runs (what, started_at desc, id desc);

alter table user_sync_runs owner to user_sync_owner;

-- The reader, too: reconcile, verify, audit and the drift check run as it. Its only right to write anything; no run's
-- beginning can be changed, and none deleted.
grant select on user_sync_runs to user_sync_consumer, user_sync_reader;
grant insert (id, what, started_by, scope, total) on user_sync_runs to user_sync_consumer, user_sync_reader;
grant update (progressed_at, done, total, ended_at, findings, error) on user_sync_runs to user_sync_consumer, user_sync_reader;
