-- Where else the role $1 owns something: another database of this server, or another schema of this one.
select format('database %s', datname)
from pg_database
where datname <> current_database() and exists (
    select from pg_shdepend
    where dbid = pg_database.oid and refclassid = 'pg_authid'::regclass and deptype = 'o'
        and refobjid = (select oid from pg_roles where rolname = $1))
union all
select format('schema %s of database %s', nspname, current_database())
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
where relname = 'user_event_partitions' and relkind = 'r' and nspname <> current_schema()
    and pg_get_userbyid(relowner) = $1
order by 1
