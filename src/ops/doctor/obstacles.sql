-- What others have added to users and that can refuse a row of this service's: a line each, with whether it certainly
-- refuses every new user. $1 are the constraints that the migrations make, and $2 the columns.
with users as (
    select oid, relrowsecurity, relforcerowsecurity, relowner from pg_class where oid = to_regclass('users')
)
select format('the column %I, which must not be null and has no default', attname) as obstacle, true as is_certain
from users join pg_attribute on attrelid = users.oid
where attnum > 0 and not attisdropped and attnotnull and not atthasdef and attidentity = '' and attgenerated = ''
    and attname <> all ($2)
union all
select format('the %s constraint %I', case contype
        when 'c' then 'check' when 'f' then 'foreign key' when 'u' then 'unique' when 'x' then 'exclusion' else 'primary key'
    end, conname), false
from users join pg_constraint on conrelid = users.oid
where contype in ('c', 'f', 'u', 'x', 'p') and conname <> all ($1)
union all
select format('the unique index %I', index.relname), false
from users join pg_index on indrelid = users.oid join pg_class as index on index.oid = indexrelid
where indisunique and not exists (select from pg_constraint where conindid = indexrelid)
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
