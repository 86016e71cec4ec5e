-- Nested, because versions before 16 know no "set" to ask for.
do $$
begin
    if current_setting('server_version_num')::int >= 160000 then
        if not pg_has_role(current_user, 'user_sync_owner', 'set') then
            grant user_sync_owner to current_user;
        end if;
    end if;
end
$$;
