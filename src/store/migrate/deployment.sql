-- Which deployment this schema is: made once, and carried in the comments of its roles, which belong to the whole server.
create table if not exists user_sync_deployment (
    singleton   boolean     constraint user_sync_deployment_pkey primary key default true
                            constraint user_sync_deployment_singleton_check check (singleton),
    id          uuid        not null,
    role_prefix text        not null,
    made_at     timestamptz not null default now()
)
