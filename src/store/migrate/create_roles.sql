-- The roles that are missing. Whoever else is making one right now is waited for, and its mark can be seen afterwards.
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
$$
