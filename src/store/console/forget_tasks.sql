-- Deletes at most $2 tasks that are older than $1 days and have no notes.
delete from user_sync_console_tasks
where id in (
    select id from user_sync_console_tasks as task
    where at < clock_timestamp() - make_interval(days => $1)
        and not exists (select from user_sync_console_task_notes where user_sync_console_task_notes.task = task.id)
    limit $2)
