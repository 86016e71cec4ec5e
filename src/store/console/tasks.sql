-- Tasks, each with its plan and its latest note.
select task.id, task.plan, task.at, task.who, task.reason, task.rate, plan.kind, plan.scope, plan.count,
    note.state, note.done, note.total, note.counts, note.error, note.at as noted_at,
    extract(epoch from clock_timestamp() - note.at)::float8 as silent_seconds,
    (select cancel.who from user_sync_console_task_notes as cancel
        where cancel.task = task.id and cancel.state = 'cancel') as cancelled_by
from user_sync_console_tasks as task
join user_sync_console_plans as plan on plan.id = task.plan
join lateral (
    select latest.* from user_sync_console_task_notes as latest
    where latest.task = task.id and latest.state <> 'cancel'
    order by latest.id desc
    limit 1) as note on true
