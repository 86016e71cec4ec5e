-- The roles that are missing. Whoever else is making one right now is waited for, and its mark can be seen afterwards.
--
-- The console's came later than the others: whoever may not make it goes on without it.
do $$
declare
    role_name text;
begin
    foreach role_name in array
        array['user_sync_owner', 'user_sync_consumer', 'user_sync_app', 'user_sync_reader', 'user_sync_console']
    loop
        begin
            if not exists (select from pg_roles where rolname = role_name) then
                execute format('create role %I nologin', role_name);
            end if;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                if role_name <> 'user_sync_console' then
                    raise;
                end if;
                raise warning 'the role % is missing: a console needs it; run user-sync migrate once as who may make roles', role_name;
        end;
    end loop;
end
$$
