-- The four roles, so that each program holds just what it needs.
--
-- They are group roles without a login: a deployment makes its own logins members of them. Roles belong to
-- the whole server, so another database's migration may have made them, or be making them right now.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['user_sync_owner', 'user_sync_consumer', 'user_sync_app', 'user_sync_reader'] loop
        begin
            if not exists (select from pg_roles where rolname = role_name) then
                execute format('create role %I nologin', role_name);
            end if;
        exception
            when duplicate_object or unique_violation then null;
        end;
    end loop;
end
$$;

comment on role user_sync_owner is 'cognito-user-sync: owns the tables and migrates them';
comment on role user_sync_consumer is 'cognito-user-sync: applies events; column grants only';
comment on role user_sync_app is 'the application: may change profile and application columns of users, nothing else';
comment on role user_sync_reader is 'reports: may read';

-- The owner's tables are the owner's, whoever runs the migrations: any member of it may run the next ones.
do $$
begin
    if not pg_has_role(current_user, 'user_sync_owner', 'member') then
        grant user_sync_owner to current_user;
    end if;
    execute format('grant usage, create on schema %I to user_sync_owner', current_schema());
end
$$;
