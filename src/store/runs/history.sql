-- The runs of the kind $1 of the last $3 days, at most $4.
select id, what, coalesce(started_by, login) as started_by, started_at, progressed_at, done, total, ended_at,
    scope, findings, error, progressed_at < now() - make_interval(mins => $2) as is_silent
from user_sync_runs
where what = $1 and started_at > now() - make_interval(days => $3)
order by started_at desc, id desc
limit $4
