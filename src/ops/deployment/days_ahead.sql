-- Days from now to the first moment that a ledger has no month for, of events or of records; none where one has no month at
-- all. A bound's first 48 bits are its milliseconds; there are no gaps before the last one (migrations/0003_ledger.sql).
with last as (
    (select upper from user_event_partitions order by upper desc limit 1)
    union all
    (select upper from user_sync_record_partitions order by upper desc limit 1)
)
select min((('x' || left(replace(upper::text, '-', ''), 12))::bit(48)::bigint / 1000.0
    - extract(epoch from now())) / 86400.0)::float8
from last
having count(*) = 2
