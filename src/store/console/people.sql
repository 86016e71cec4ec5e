-- The names in the trail, each by one look into its index; at most $1.
with recursive people (who, place) as (
    (select who, 1 from user_sync_console_trail order by who limit 1)
    union all
    select next.who, place + 1
    from people
    cross join lateral (
        select trail.who from user_sync_console_trail as trail where trail.who > people.who order by trail.who limit 1) as next
    where place < $1
)
select who from people
