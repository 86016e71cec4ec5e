-- Every privilege on this project's tables and views that is not the owner's own, a row each. Ours is what has one
-- of our names ($1), whoever owns it, and what our owner owns, whatever its name: the ledger's months, and what a
-- migration adds. From the catalogs alone, so any role may ask.
with relations as (
    select pg_class.oid, pg_class.oid::regclass::text as name, relowner, relacl
    from pg_class
    where pg_class.oid in (select to_regclass(ours) from unnest($1::text[]) as ours)
        or pg_class.oid in (
            select inhrelid from pg_inherits
            where inhparent in (
                to_regclass('user_events'), to_regclass('user_sync_contexts'), to_regclass('user_sync_failures')))
        or relkind in ('r', 'p', 'v', 'm', 'S')
            and relnamespace = (select oid from pg_namespace where nspname = current_schema())
            and pg_get_userbyid(relowner) = $2
),
privileges as (
    select relations.name, relowner, acl.*
    from relations cross join lateral aclexplode(relacl) as acl
    union all
    select relations.name || '.' || pg_attribute.attname, relowner, acl.*
    from relations
    join pg_attribute on attrelid = relations.oid and not attisdropped
    cross join lateral aclexplode(attacl) as acl
)
select
    case grantee when 0 then 'public' else pg_get_userbyid(grantee)::text end as grantee,
    privilege,
    name
from privileges
cross join lateral unnest(array[lower(privilege_type)] || case when is_grantable then lower(privilege_type) || '+' end)
    as privilege
where grantee <> relowner and privilege is not null
order by 1, 3, 2
