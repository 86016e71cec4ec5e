-- The least ids of the months that both ledgers still have. The lines may be of a moment ago, the tables are those of now.
select
    (select lower from user_event_partitions
     where to_regclass(quote_ident(name)) is not null order by lower limit 1) as logins,
    (select lower from user_sync_record_partitions
     where to_regclass(quote_ident('user_sync_contexts_' || name)) is not null order by lower limit 1) as records
