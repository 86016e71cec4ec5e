-- Months are made beside whoever reads or writes the ledger. `create table … partition of` locks all of it, so that it
-- waits for a dump to end, and every insert waits behind it. A table of its own that is attached then locks out nobody
-- but other changes of the ledger's definition.
--
-- As in 0012, but for that. What `like` copies and what attaching adds is what `partition of` gave.
create or replace function user_event_create_partitions(months_behind integer, months_ahead integer) returns setof text
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
    first_month := coalesce(first_month, this_month - pg_catalog.make_interval(months => months_behind));
    for month in
        select generate_series(first_month, this_month + pg_catalog.make_interval(months => months_ahead), interval '1 month')
    loop
        partition := 'user_events_' || to_char(month, 'YYYY_MM');
        continue when exists (select from user_event_partitions p where p.name = partition);
        insert into user_event_partitions (name, lower, upper)
        values (partition,
                user_event_bound(month at time zone 'utc'),
                user_event_bound((month + interval '1 month') at time zone 'utc'));
        execute pg_catalog.format('create table %I (like user_events including all)', partition);
        execute pg_catalog.format('alter table %I owner to %I', partition,
            (select pg_get_userbyid(relowner) from pg_class where oid = 'user_events'::regclass));
        execute pg_catalog.format(
            'alter table user_events attach partition %I for values from (%L) to (%L)',
            partition,
            user_event_bound(month at time zone 'utc'),
            user_event_bound((month + interval '1 month') at time zone 'utc'));
        return next partition;
    end loop;
end
$$;
