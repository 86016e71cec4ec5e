-- What in this schema has a name that is to be made: a relation's ($1), a type's ($2), a routine's ($3), or one of a month's
-- table, which begins with one of $4. Not the table users and what is its own, where that is to be set aside ($5).
with place as (select oid from pg_namespace where nspname = current_schema()),
old as (select to_regclass('users')::oid as oid where $5::boolean),
month as (select '^' || start || '[0-9]{4}_[0-9]{2}' as pattern from unnest($4::text[]) as start),
found as (
    select
        case relkind
            when 'v' then 'view' when 'm' then 'materialized view' when 'i' then 'index' when 'I' then 'index'
            when 'S' then 'sequence' when 'f' then 'foreign table' when 'c' then 'type' else 'table'
        end as kind,
        relname::text || coalesce(' of ' || (
            select indrelid::regclass::text from pg_index where indexrelid = pg_class.oid), '') as name
    from pg_class join place on place.oid = relnamespace
    where (relname::text = any ($1::text[]) or exists (select from month where relname ~ (pattern || '(_pkey|_user_id_idx|_by_user)?$')))
        and not exists (
            select from old
            where pg_class.oid = old.oid
                or exists (select from pg_index where indexrelid = pg_class.oid and indrelid = old.oid)
                or relkind = 'S' and exists (
                    select from pg_depend
                    where classid = 'pg_class'::regclass and objid = pg_class.oid
                        and refclassid = 'pg_class'::regclass and refobjid = old.oid and deptype in ('a', 'i')))
    union all
    -- The type of a relation's rows is that relation, and an array's makes room.
    select 'type', typname::text
    from pg_type join place on place.oid = typnamespace
    where (typname::text = any ($2::text[]) or exists (select from month where typname ~ (pattern || '$')))
        and typrelid = 0 and not exists (select from pg_type as element where element.typarray = pg_type.oid)
    union all
    select case prokind when 'p' then 'procedure' else 'function' end, pg_proc.oid::regprocedure::text
    from pg_proc join place on place.oid = pronamespace
    where proname::text = any ($3::text[])
)
select format('%s %s exists already', kind, name) from found order by kind, name
