select exists (
    select from pg_roles as login
    where login.rolname = $1
      and (login.rolsuper
        or login.rolcreaterole
        or exists (
            select from pg_roles as powerful
            where powerful.rolname in ('user_sync_owner', 'rds_superuser')
              and pg_has_role(login.oid, powerful.oid, 'member')))
)
