-- What the lifecycle function last saw of the user pools' triggers, which its heartbeats tell: for who may ask the database,
-- and has no way to Cognito. Null until a heartbeat tells of a pool. The release before knows nothing of it.
alter table sync_status add column pools jsonb;

comment on column sync_status.pools is
    'the triggers of each pool and Region as a heartbeat last told of them, and when that was sent; an array';

grant update (pools) on sync_status to user_sync_consumer;
