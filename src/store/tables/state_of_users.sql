-- The state of users, as users.rs reads it; a condition follows. The list follows from model/columns.rs.
select id, row_version, {state_columns}, erased_at is not null as is_erased
from users
