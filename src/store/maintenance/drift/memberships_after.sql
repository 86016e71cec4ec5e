-- A page of memberships in the order of their keys, and whether each is one of this pool's. The limit comes before
-- every other condition: tables that are mostly another pool's would else be read to their end for one page.
select page.user_id, page.name, page.at,
       page.user_pool_id = $3 and not page.gone and not coalesce(users.is_deleted, false)
           and page.at > coalesce(cleared.cleared_at, '-infinity') as is_shown
from (
    select user_id, name, user_pool_id, at, gone
    from user_sync_memberships
    where (user_id, name) > ($1, $2)
    order by user_id, name
    limit $4
) as page
left join users on users.id = page.user_id
left join user_sync_groups as cleared on cleared.user_pool_id = $3 and cleared.name = page.name
order by page.user_id, page.name
