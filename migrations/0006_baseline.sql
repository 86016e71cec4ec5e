-- What the events of dropped partitions amounted to. `maintain` folds a month into it and drops the month, in
-- one transaction: the baseline and what remains of the ledger are exact together, for ever.
create table user_baseline (
    user_id uuid  constraint user_baseline_pkey primary key,
    state   jsonb not null, -- the fold's own state, as apply/state.rs writes it
    claims  jsonb not null  -- every address shown, with the time since which it is verified
);

alter table user_baseline owner to user_sync_owner;

comment on table user_baseline is 'what the events of dropped partitions amounted to, a row a user';

grant select on user_baseline to user_sync_consumer, user_sync_reader;
