-- The columns of a relation: the type's name to compare, and as PostgreSQL writes it to show.
select attname::text as name, pg_type.typname::text as type, format_type(atttypid, atttypmod) as shown
from pg_attribute
join pg_type on pg_type.oid = atttypid
where attrelid = $1 and attnum > 0 and not attisdropped
order by attnum
