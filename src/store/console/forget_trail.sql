-- Deletes at most $2 of what was done more than $1 days ago, by the key: its ids begin with the time.
delete from user_sync_console_trail
where id in (
    select id from user_sync_console_trail
    where id in (select id from user_sync_console_trail order by id limit $2)
        and at < clock_timestamp() - make_interval(days => $1))
