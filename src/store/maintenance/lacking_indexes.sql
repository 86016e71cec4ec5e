-- Indexes that are to be there and are not: of the tables $1 under the names $2 with the definitions $3, and of the ledgers'
-- months. Every month has a summary; one that has been over for $4 has only late events to come, and pays for a B-tree.
with wanted as (
    select 0 as ledger, null::uuid as lower, tables as "table", names as name, definitions as definition, null as of_whole
    from unnest($1::text[], $2::text[], $3::text[]) as of_users (tables, names, definitions)
    union all
    select ledger, lower, part, part || suffix, definition, of_whole
    from (
        select 1 as ledger, 'user_events' as whole, name as part, lower, upper from user_event_partitions
        union all
        select 2, whole, whole || '_' || name, lower, upper
        from user_sync_record_partitions
        cross join unnest(array['user_sync_contexts', 'user_sync_failures']) as wholes (whole)
    ) as months
    cross join lateral (values
        ('_user_id_idx', 'using brin (user_id uuid_bloom_ops) with (pages_per_range = 32, autosummarize = on)',
            whole || '_user_id_brin', true),
        ('_by_user', '(user_id)', null, upper <= user_event_bound(now() - $4::interval))
    ) as kinds (suffix, definition, of_whole, is_due)
    -- One that somebody took out of the ledger is left as it is.
    where is_due and exists (
        select from pg_inherits where inhrelid = to_regclass(quote_ident(part)) and inhparent = to_regclass(whole))
)
select "table", name, definition, of_whole, coalesce(indisvalid, false) as is_built,
    coalesce(not indisvalid, false) as is_broken
from wanted
left join pg_class on pg_class.oid = to_regclass(quote_ident(name))
left join pg_index on indexrelid = pg_class.oid
where
    case when of_whole is null then not coalesce(indisvalid, false)
        -- Under another name, it is as good.
        else not exists (
            select from pg_inherits
            join pg_index as own on own.indexrelid = inhrelid
            where inhparent = to_regclass(quote_ident(of_whole)) and own.indrelid = to_regclass(quote_ident("table"))
                and own.indisvalid)
    end
    -- Somebody is building it.
    and not exists (select from pg_stat_progress_create_index where index_relid = pg_class.oid)
order by ledger, lower, name
