-- Another schema of this database that holds the tables of the role $2, and not the schema $1.
select nspname::text
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
where relname = 'user_event_partitions' and relkind = 'r' and nspname <> $1 and pg_get_userbyid(relowner) = $2
order by 1
limit 1
