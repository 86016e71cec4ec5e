-- A page of rows in the order of their ids. The limit comes before every other condition: a table that is mostly
-- another pool's would else be read to its end for one page.
select id, cognito_username, user_pool_id, is_deleted, created_at
from users
where id > $1
order by id
limit $2
