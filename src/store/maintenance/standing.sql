-- What the tables say of the way that events take; one row. The newest event is read from the ledger's end, by its key.
-- Days ahead: from now to the first moment that a ledger has no month for, of events or of records; none where one has no
-- month at all. A bound's first 48 bits are its milliseconds.
select
    clock_timestamp() as at,
    heartbeat_at,
    heartbeat_seen,
    case when jsonb_typeof(pools) = 'array' then pools else '[]' end as pools,
    newest.occurred_at,
    newest.recorded_at,
    (
        select min((('x' || left(replace(upper::text, '-', ''), 12))::bit(48)::bigint / 1000.0
            - extract(epoch from now())) / 86400.0)::float8
        from (
            (select upper from user_event_partitions order by upper desc limit 1)
            union all
            (select upper from user_sync_record_partitions order by upper desc limit 1)
        ) as last
        having count(*) = 2
    ) as days_ahead
from sync_status
left join lateral (select occurred_at, recorded_at from user_events order by id desc limit 1) as newest on true
