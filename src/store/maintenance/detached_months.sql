-- Months that somebody took out of the ledger: whether each one's table is there, and whether it is half out, by a
-- `detach … concurrently` that was interrupted.
select
    name, lower, upper,
    to_regclass(quote_ident(name)) is not null as is_there,
    exists (select from pg_inherits where inhrelid = to_regclass(quote_ident(name)) and inhdetachpending) as is_half_out
from user_event_partitions
where not exists (
    select from pg_inherits
    where inhparent = 'user_events'::regclass and inhrelid = to_regclass(quote_ident(name)) and not inhdetachpending)
order by lower
