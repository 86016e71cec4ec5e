-- The names of groups, each by a step in the index, so that a group of a million is one row, too.
with recursive names as (
    (select name from user_sync_memberships order by name limit 1)
    union all
    select (select member.name from user_sync_memberships as member where member.name > names.name order by member.name limit 1)
    from names
    where names.name is not null
)
select name from names where name is not null limit $1
