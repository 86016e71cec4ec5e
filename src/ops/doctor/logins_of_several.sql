-- Logins with the rights of a role of this deployment (its prefix is $1) and of another one's. Whoever may make roles is
-- left out: it migrates them.
with groups as (
    select oid, rolname, substring(shobj_description(oid, 'pg_authid') from '; deployment ([0-9a-f-]{36}), ') as deployment
    from pg_roles
    where not rolcanlogin
),
ours as (
    select oid, rolname, deployment
    from groups
    where rolname in ($1 || '_owner', $1 || '_consumer', $1 || '_app', $1 || '_reader', $1 || '_console')
),
others as (
    select oid, rolname from groups
    where deployment is not null and deployment not in (select deployment from ours where deployment is not null)
)
select login.rolname::text, string_agg(distinct others.rolname, ', ' order by others.rolname)
from pg_roles as login
join others on pg_has_role(login.oid, others.oid, 'usage')
where login.rolcanlogin and not login.rolsuper and not login.rolcreaterole
    and exists (select from ours where pg_has_role(login.oid, ours.oid, 'usage'))
group by login.rolname
order by 1
