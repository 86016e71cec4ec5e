-- What others have added to some tables of this service's, their partitions included, and that runs when a row is written: with
-- whether it certainly refuses every row, and whether it can keep a row from being written, or from being there, without an
-- error.
with ours as (
    select oid, relname as name, oid as root from pg_class where oid in (select to_regclass(name) from unnest($1::text[]) as name)
), tables as (
    select * from ours
    union all
    select inhrelid, ours.name, ours.root from ours join pg_inherits on inhparent = ours.oid
)
select distinct tables.name::text as table, format('the trigger %I', tgname) as name, false as is_certain,
    -- Before a row, or instead of it.
    tgtype & 66 <> 0 as is_silent
from tables join pg_trigger on tgrelid = tables.oid
where not tgisinternal and tgenabled <> 'D' and tgname <> 'users_note_app_edit'
union all
select distinct tables.name::text, format('the rule %I', rulename), false, true
from tables join pg_rewrite on ev_class = tables.oid
where ev_enabled <> 'D'
union all
select distinct tables.name::text, case when has_policy then 'row security' else 'row security, without any policy' end,
    not has_policy, true
from tables
join pg_class on pg_class.oid = tables.oid
cross join lateral (select exists (select from pg_policy where polrelid = tables.oid)) as policies (has_policy)
where relrowsecurity and tables.oid = root
order by 1, 2
