-- Where the canary last arrived. A stalled sync is silent, and on a quiet night there is no login to notice
-- it by: the alarm is on the age of this row.
create table sync_status (
    singleton       boolean     primary key default true constraint sync_status_singleton_check check (singleton),
    heartbeat_id    uuid,
    heartbeat_at    timestamptz, -- when the latest heartbeat that arrived was sent
    heartbeat_seen  timestamptz  -- when it arrived
);

alter table sync_status owner to user_sync_owner;

comment on table sync_status is 'one row: the arrival of the last heartbeat';

insert into sync_status default values;

-- So that any member of the owner's role can run the next migrations.
do $$
begin
    if to_regclass('_sqlx_migrations') is not null then
        alter table _sqlx_migrations owner to user_sync_owner;
    end if;
end
$$;

grant select on sync_status to user_sync_consumer, user_sync_reader;
grant update (heartbeat_id, heartbeat_at, heartbeat_seen) on sync_status to user_sync_consumer;
