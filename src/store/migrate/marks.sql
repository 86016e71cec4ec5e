-- The comments of some roles that exist.
select rolname::text as role, shobj_description(oid, 'pg_authid') as comment
from pg_roles
where rolname = any ($1)
