-- Every privilege on this project's tables and views that is not the owner's own, a row each: by name where it is
-- ours ($1), and the ledger's partitions, whatever their names. From the catalogs alone, so any role may ask.
with relations as (
    select pg_class.oid, pg_class.oid::regclass::text as name, relowner, relacl
    from pg_class
    where pg_class.oid in (select to_regclass(ours) from unnest($1::text[]) as ours)
        or pg_class.oid in (select inhrelid from pg_inherits where inhparent = to_regclass('user_events'))
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
    lower(privilege_type) || case when is_grantable then '+' else '' end as privilege,
    name
from privileges
where grantee <> relowner
order by 1, 3, 2
