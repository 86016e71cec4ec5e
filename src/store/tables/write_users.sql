-- The service's columns of locked rows, whole. The application's own columns are not named here, and what it
-- made its own (app_owned) stays as it is. The lists follow from model/columns.rs.
update users
set {assignments},
    -- The application's last edit may be later; `greatest` ignores nulls.
    updated_at = greatest(users.app_edited_at, new.synced_at),
    row_version = users.row_version + 1
from {rows}
where users.id = new.id
