-- Why the relation $1 cannot become $2: what it is, who depends on it and would go on with the old rows in
-- silence. A line each.
with old as (select * from pg_class where oid = $1)
select 'users is no ordinary table, expected one' from old where relkind <> 'r'
union all
select 'users belongs to ' || pg_get_userbyid(relowner) || ', expected a table of the role that migrates, or of one that it is a member of'
from old where not pg_has_role(relowner, 'usage')
union all
select 'users inherits, is a partition or has children, expected none of it'
from old where exists (select from pg_inherits where old.oid in (inhrelid, inhparent))
union all
select 'foreign key ' || conname || ' of ' || conrelid::regclass || ' refers to users, expected none: drop it, and add it again for the new table'
from pg_constraint where contype = 'f' and confrelid = $1 and conrelid <> $1
union all
select distinct 'view ' || ev_class::regclass || ' reads users, expected none: drop it, and create it again for the new table'
from pg_depend
join pg_rewrite on classid = 'pg_rewrite'::regclass and pg_rewrite.oid = objid
where refclassid = 'pg_class'::regclass and refobjid = $1 and ev_class <> $1
union all
select distinct 'function ' || objid::regprocedure || ' reads users, expected none: drop it, and create it again for the new table'
from pg_depend
where classid = 'pg_proc'::regclass
  and (refclassid = 'pg_class'::regclass and refobjid = $1
       or refclassid = 'pg_type'::regclass and refobjid = (select reltype from old))
union all
select 'rule ' || rulename || ' on users, expected none' from pg_rewrite where ev_class = $1 and rulename <> '_RETURN'
union all
select 'trigger ' || tgname || ' on users, expected none' from pg_trigger where tgrelid = $1 and not tgisinternal
union all
select 'row-level security on users, expected none'
from old where relrowsecurity or exists (select from pg_policy where polrelid = $1)
union all
select 'publication ' || pubname || ' sends users, expected none: add the new table to it afterwards'
from pg_publication_rel join pg_publication on pg_publication.oid = prpubid where prrelid = $1
union all
select relname || ' exists already: it is what an earlier adoption kept; drop it or rename it'
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where nspname = current_schema() and relname::text = $2
