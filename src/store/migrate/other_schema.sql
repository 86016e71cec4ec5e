-- Another schema of this database than $1 that holds the tables of the role $2, or of any if that is null.
select nspname::text
from pg_class
join pg_namespace on pg_namespace.oid = relnamespace
where relname = 'user_event_partitions' and relkind = 'r' and nspname <> $1 and ($2::text is null or pg_get_userbyid(relowner) = $2)
order by 1
limit 1
