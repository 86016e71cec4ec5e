-- A role among $1 that is somebody else's: one that can log in or has powers, or whose comment is not this service's, in
-- any release. One without a comment may have been made by hand, to be ready.
select rolname::text
from pg_roles
where rolname = any ($1)
    and (rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
        or not coalesce(shobj_description(oid, 'pg_authid'), 'cognito-user-sync:') like any (array[
            'cognito-user-sync:%', 'the application: may change profile and application columns%', 'reports: may read%']))
order by 1
limit 1
