-- What others have added to users and that can refuse a row of this service's: a line each, with whether it certainly
-- refuses every new user. $1 are the constraints that the migrations make, $2 the columns that must not be null, and $3 all columns.
with users as (
    select oid, relrowsecurity, relforcerowsecurity, relowner from pg_class where oid = to_regclass('users')
)
select format('the column %I, which must not be null%s', attname,
        case when not atthasdef and attidentity = '' then ' and has no default' end) as obstacle,
    not atthasdef and attidentity = '' as is_certain
from users join pg_attribute on attrelid = users.oid
where attnum > 0 and not attisdropped and attnotnull and attgenerated = '' and attname <> all ($2)
    -- One of their own with a default is nothing that this service writes.
    and (not atthasdef and attidentity = '' or attname = any ($3))
union all
select format('the column %I, whose type is a domain', attname), false
from users join pg_attribute on attrelid = users.oid join pg_type on pg_type.oid = atttypid
where attnum > 0 and not attisdropped and typtype = 'd'
union all
select format('the generated column %I', attname), false
from users join pg_attribute on attrelid = users.oid
where attnum > 0 and not attisdropped and attgenerated <> ''
union all
select format('the index %I on an expression', index.relname), false
from users join pg_index on indrelid = users.oid join pg_class as index on index.oid = indexrelid
where not indisunique and (indexprs is not null or indpred is not null) and index.relname <> all ($1)
union all
select format('the %s constraint %I', case contype
        when 'c' then 'check' when 'f' then 'foreign key' when 'u' then 'unique' when 'x' then 'exclusion' else 'primary key'
    end, conname), false
from users join pg_constraint on conrelid = users.oid
where contype in ('c', 'f', 'u', 'x', 'p') and conname <> all ($1)
union all
select format('the unique index %I', index.relname), false
from users join pg_index on indrelid = users.oid join pg_class as index on index.oid = indexrelid
where indisunique and not exists (select from pg_constraint where conindid = indexrelid) and index.relname <> all ($1)
union all
select format('the trigger %I', tgname), false
from users join pg_trigger on tgrelid = users.oid
where not tgisinternal and tgenabled <> 'D' and tgname <> 'users_note_app_edit'
union all
select format('the rule %I', rulename), false
from users join pg_rewrite on ev_class = users.oid
union all
select 'row security, without any policy', true
from users
where relrowsecurity and not exists (select from pg_policy where polrelid = users.oid)
union all
select 'row security', false
from users
where relrowsecurity and exists (select from pg_policy where polrelid = users.oid)
order by 1
