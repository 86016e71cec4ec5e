-- Locks users who have a row, in the order of the ids, but for those that somebody holds: of these, it is not known whether
-- they are erased.
with locked as materialized (
    select id, erased_at is not null as is_erased
    from users
    where id = any ($1)
    order by id
    for no key update skip locked
)
select users.id, locked.is_erased
from users
left join locked on locked.id = users.id
where users.id = any ($1)
