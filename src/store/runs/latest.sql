-- The latest run of each of the kinds $1; without an end and with no sign of life for $2 minutes, it is silent.
select latest.*
from unnest($1::text[]) with ordinality as kinds (kind, place)
cross join lateral (
    select id, what, coalesce(started_by, login) as started_by, started_at, progressed_at, done, total, ended_at,
        scope, findings, error, progressed_at < now() - make_interval(mins => $2) as is_silent
    from user_sync_runs where what = kind order by started_at desc, id desc limit 1
) as latest
order by place
