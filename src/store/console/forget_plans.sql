-- Deletes at most $2 plans that are older than $1 days and have no task.
delete from user_sync_console_plans
where id in (
    select id from user_sync_console_plans as plan
    where at < clock_timestamp() - make_interval(days => $1)
        and not exists (select from user_sync_console_tasks where user_sync_console_tasks.plan = plan.id)
    limit $2)
