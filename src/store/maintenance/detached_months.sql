-- Months that somebody took out of the ledgers: whether each one's table is there, and whether it is half out, by a
-- `detach … concurrently` that was interrupted.
with months as (
    select 1 as ledger, 'user_events' as whole, name, lower, upper from user_event_partitions
    union all
    select 2, whole, whole || '_' || name, lower, upper
    from user_sync_record_partitions
    cross join unnest(array['user_sync_contexts', 'user_sync_failures']) as wholes (whole)
)
select
    whole, name, lower, upper,
    to_regclass(quote_ident(name)) is not null as is_there,
    exists (select from pg_inherits where inhrelid = to_regclass(quote_ident(name)) and inhdetachpending) as is_half_out
from months
where not exists (
    select from pg_inherits
    where inhparent = to_regclass(whole) and inhrelid = to_regclass(quote_ident(name)) and not inhdetachpending)
order by ledger, lower, whole
