-- The statements that give everything of ours in this schema from the roles of one prefix ($1) to those of another ($2): what
-- they own, what they may do, and the policies that name them. In the order in which they run.
with roles as (
    select $1 || '_' || kind as old, $2 || '_' || kind as new
    from unnest(array['owner', 'consumer', 'app', 'reader', 'console']) as kind
),
relations as (
    select pg_class.oid, oid::regclass as name, relkind, relowner, relacl
    from pg_class
    where relnamespace = (select oid from pg_namespace where nspname = current_schema())
        and relkind in ('r', 'p', 'v', 'm', 'S')
        and pg_get_userbyid(relowner) = $1 || '_owner'
),
functions as (
    select oid, oid::regprocedure as name, proowner, proacl
    from pg_proc
    where pronamespace = (select oid from pg_namespace where nspname = current_schema())
        and pg_get_userbyid(proowner) = $1 || '_owner'
),
granted as (
    select acl.*, format('on %s %s', case relkind when 'S' then 'sequence' else 'table' end, name) as target, '' as columns
    from relations cross join lateral aclexplode(relacl) as acl
    union all
    select acl.*, format('on table %s', name), format(' (%I)', attname)
    from relations
    join pg_attribute on attrelid = relations.oid and not attisdropped
    cross join lateral aclexplode(attacl) as acl
    union all
    select acl.*, format('on routine %s', name), ''
    from functions cross join lateral aclexplode(proacl) as acl
    union all
    select acl.*, format('on schema %I', nspname), ''
    from pg_namespace cross join lateral aclexplode(nspacl) as acl
    where pg_namespace.oid = (select oid from pg_namespace where nspname = current_schema())
),
statements as (
    select 1 as step, format('alter %s %s owner to %I',
        case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else 'table' end,
        name, new) as statement
    from relations join roles on old = pg_get_userbyid(relowner)
    where not exists (select from pg_depend where objid = relations.oid and deptype in ('a', 'i') and relkind = 'S')
    union all
    select 1, format('alter routine %s owner to %I', name, new)
    from functions join roles on old = pg_get_userbyid(proowner)
    union all
    select 2, format('grant %s%s %s to %I%s', privilege_type, columns, target, new,
        case when is_grantable then ' with grant option' end)
    from granted join roles on old = pg_get_userbyid(grantee)
    where to_regrole(new) is not null -- there may be none for a console
    union all
    select 3, format('revoke %s%s %s from %I', privilege_type, columns, target, old)
    from granted join roles on old = pg_get_userbyid(grantee)
    union all
    select 4, format('alter policy %I on %s to %s', polname, name, (
        select string_agg(coalesce(quote_ident(new), case member when 0 then 'public' else member::regrole::text end), ', ')
        from unnest(polroles) as member left join roles on old = pg_get_userbyid(member)))
    from relations join pg_policy on polrelid = relations.oid
    where exists (select from roles where to_regrole(old)::oid = any (polroles))
)
select statement from statements order by step, statement
