-- login_count by its definition: distinct authentications, and one if there is any federated confirmation.
with counted as (
    select user_id,
           count(*) filter (where type = 'user.authenticated')
               + max(case when type = 'user.confirmed' and (data ->> 'federated')::boolean then 1 else 0 end) as logins
    from user_events
    group by user_id
)
select coalesce(sum(counted.logins), 0)::bigint,
       coalesce(sum(users.login_count), 0)::bigint,
       count(*) filter (where users.login_count is distinct from counted.logins)
from users
full join counted on counted.user_id = users.id
