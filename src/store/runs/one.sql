-- The run $1.
select id, what, coalesce(started_by, login) as started_by, started_at, progressed_at, done, total, ended_at,
    scope, findings, error, progressed_at < now() - make_interval(mins => $2) as is_silent
from user_sync_runs where id = $1
