-- The ledger: one row a distinct event, append-only. What makes a count exact is that this insert and the
-- update of users are one transaction.
--
-- Partitioned on the id, a UUIDv7: its first 48 bits are the event's time in milliseconds, so a range of ids
-- is a range of time, and the primary key's index grows at its right edge. There is no default partition:
-- an event outside every partition is refused before it gets here, with its reason.
create table user_events (
    id           uuid        constraint user_events_pkey primary key,
    user_id      uuid        not null,
    type         text        not null,
    user_pool_id text        not null,
    occurred_at  timestamptz not null, -- the id's time, for people to read
    recorded_at  timestamptz not null default now(),
    data         jsonb       not null
) partition by range (id);

alter table user_events owner to user_sync_owner;

comment on table user_events is 'every event that was applied, once; append-only';

-- Which ids the ledger can take: from the least lower bound to the greatest upper one.
create table user_event_partitions (
    name  text constraint user_event_partitions_pkey primary key,
    lower uuid not null constraint user_event_partitions_lower_key unique,
    upper uuid not null constraint user_event_partitions_upper_key unique,
    constraint user_event_partitions_order_check check (lower < upper)
);

alter table user_event_partitions owner to user_sync_owner;

comment on table user_event_partitions is 'the partitions of user_events, a month each, without a gap';

-- The smallest UUID of a moment: its milliseconds in the first 48 bits, then zeros.
create function user_event_bound(moment timestamptz) returns uuid
language sql immutable strict parallel safe
return rpad(lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid;

-- Makes the months up to months_ahead after this one, where they are missing: from the oldest month there
-- is, or in an empty ledger from months_behind before this one. So there is never a gap, and a month that was
-- folded and dropped is never made again. Safe to call from several places at once.
create function user_event_create_partitions(months_behind integer, months_ahead integer) returns setof text
language plpgsql as $$
declare
    this_month constant timestamp := date_trunc('month', now() at time zone 'utc');
    first_month timestamp;
    month timestamp;
    partition text;
begin
    lock table user_event_partitions in share row exclusive mode;
    select to_date(min(name), '"user_events_"YYYY_MM') into first_month
    from user_event_partitions;
    first_month := coalesce(first_month, this_month - make_interval(months => months_behind));
    for month in
        select generate_series(first_month, this_month + make_interval(months => months_ahead), interval '1 month')
    loop
        partition := 'user_events_' || to_char(month, 'YYYY_MM');
        continue when exists (select from user_event_partitions p where p.name = partition);
        insert into user_event_partitions (name, lower, upper)
        values (partition,
                user_event_bound(month at time zone 'utc'),
                user_event_bound((month + interval '1 month') at time zone 'utc'));
        execute format(
            'create table %I partition of user_events for values from (%L) to (%L)',
            partition,
            user_event_bound(month at time zone 'utc'),
            user_event_bound((month + interval '1 month') at time zone 'utc'));
        execute format('alter table %I owner to user_sync_owner', partition);
        return next partition;
    end loop;
end
$$;

alter function user_event_create_partitions(integer, integer) owner to user_sync_owner;

-- Behind: a log line or a dead letter may be replayed after months. Ahead: what `maintain` must keep.
select user_event_create_partitions(13, 3);

grant select on user_events, user_event_partitions to user_sync_consumer, user_sync_reader;
grant insert (id, user_id, type, user_pool_id, occurred_at, data) on user_events to user_sync_consumer;
