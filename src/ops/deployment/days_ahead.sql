-- Days from now to the first moment that the ledger has no month for. A bound's first 48 bits are its milliseconds;
-- there are no gaps before the last one (migrations/0003_ledger.sql).
select ((('x' || left(replace(upper::text, '-', ''), 12))::bit(48)::bigint / 1000.0
    - extract(epoch from now())) / 86400.0)::float8
from user_event_partitions
order by upper desc
limit 1
