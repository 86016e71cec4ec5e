select exists (
    select from pg_roles as login
    where login.rolname = $1
      and (login.rolsuper
        or login.rolcreaterole
        or login.rolreplication
        or login.rolbypassrls
        or exists (
            select from pg_roles as powerful
            where powerful.rolname in (
                    'user_sync_owner', 'rds_superuser', 'pg_write_all_data', 'pg_write_server_files',
                    'pg_execute_server_program')
              and pg_has_role(login.oid, powerful.oid, 'member')))
)
