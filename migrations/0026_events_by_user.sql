-- Finds the events of one user without reading a ledger to its end (docs/decisions/0082-how-a-users-events-are-found.md).
--
-- Each month has a summary: for each 32 pages a Bloom filter of the users in them. It costs an insert nothing that can be
-- measured and 3 bytes an event, and leaves 1 page of 60 to be read. A B-tree would cost the drain an eighth, so only months
-- that are over get one: `user-sync maintain` builds it beside whoever writes (store/maintenance/indexes.rs).
--
-- On the whole first, which locks no month: new months copy it, as they copy the key. A month that is small gets its own at
-- once; `maintain` builds the others.
create index user_events_user_id_brin on only user_events
    using brin (user_id uuid_bloom_ops) with (pages_per_range = 32, autosummarize = on);
create index user_sync_contexts_user_id_brin on only user_sync_contexts
    using brin (user_id uuid_bloom_ops) with (pages_per_range = 32, autosummarize = on);
create index user_sync_failures_user_id_brin on only user_sync_failures
    using brin (user_id uuid_bloom_ops) with (pages_per_range = 32, autosummarize = on);

do $$
declare
    month record;
begin
    for month in
        select whole, part, upper <= user_event_bound(now()) as is_over
        from (
            select 'user_events' as whole, name as part, upper from user_event_partitions
            union all
            select whole, whole || '_' || name, upper
            from user_sync_record_partitions
            cross join unnest(array['user_sync_contexts', 'user_sync_failures']) as wholes (whole)
        ) as months
        where exists (
            select from pg_inherits
            where inhrelid = to_regclass(quote_ident(part)) and inhparent = whole::regclass
                and pg_relation_size(inhrelid) < 8 * 1024 * 1024)
        order by part
    loop
        execute pg_catalog.format(
            'create index %I on %I using brin (user_id uuid_bloom_ops) with (pages_per_range = 32, autosummarize = on)',
            month.part || '_user_id_idx', month.part);
        execute pg_catalog.format('alter index %I attach partition %I',
            month.whole || '_user_id_brin', month.part || '_user_id_idx');
        if month.is_over then
            execute pg_catalog.format('create index %I on %I (user_id)', month.part || '_by_user', month.part);
        end if;
    end loop;
end
$$;
