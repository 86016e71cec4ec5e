-- Deletes at most $2 notes of tasks that began more than $1 days ago and are not being noted.
delete from user_sync_console_task_notes
where (task, id) in (
    select note.task, note.id
    from user_sync_console_tasks as task
    join user_sync_console_task_notes as note on note.task = task.id
    where task.at < clock_timestamp() - make_interval(days => $1)
        and note.at < clock_timestamp() - make_interval(days => $1)
    limit $2)
