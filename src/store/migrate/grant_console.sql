-- What the console's role may do, where anything of it is missing: select whatever of ours the reader may, and add to what it
-- writes itself. Run at the end of every `migrate`, so that a later table need only be granted to the reader, and a role that
-- was made later gets its rights. A warning where whoever migrates may not grant: the rest goes on without a console.
do $grant$
declare
    console constant oid := to_regrole('user_sync_console');
    reader constant oid := to_regrole('user_sync_reader');
    statement text;
begin
    if console is null or to_regclass('user_sync_console_task_notes') is null then
        return;
    end if;
    for statement in
        with ours as (
            select oid, oid::regclass as name, relacl as acl
            from pg_class
            where relnamespace = (select oid from pg_namespace where nspname = current_schema()) and relkind in ('r', 'p', 'v', 'm')
                and (relowner = to_regrole('user_sync_owner') or relname = '_sqlx_migrations')
        ),
        added (name, columns) as (values
            ('user_sync_console_trail', array['id', 'who', 'did', 'what', 'reason', 'result']),
            ('user_sync_console_plans', array['id', 'who', 'kind', 'scope', 'ids', 'count', 'facts', 'samples']),
            ('user_sync_console_tasks', array['id', 'plan', 'who', 'reason', 'rate']),
            ('user_sync_console_task_notes', array['task', 'id', 'state', 'who', 'done', 'total', 'counts', 'error'])
        ),
        wanted as (
            select format('usage on schema %I', nspname) as what, nspacl as acl, 'USAGE' as privilege
            from pg_namespace
            where nspname = current_schema()
            union all
            select format('execute on routine %s', oid::regprocedure), proacl, 'EXECUTE'
            from pg_proc
            where oid in (select to_regprocedure('user_sync_begin(text)'))
            union all
            select format('select on %s', ours.name), acl, 'SELECT'
            from ours
            where exists (select from aclexplode(acl) where grantee = reader and privilege_type = 'SELECT')
                or exists (select from added where to_regclass(added.name) = ours.oid)
            union all
            select format('insert (%I) on %I', attname, added.name), attacl, 'INSERT'
            from added
            join pg_attribute on attrelid = to_regclass(added.name) and attname = any (columns)
        )
        select 'grant ' || what || ' to user_sync_console'
        from wanted
        where not exists (select from aclexplode(acl) where grantee = console and privilege_type = privilege)
    loop
        begin
            execute statement;
        exception
            when insufficient_privilege then
                raise warning 'the console lacks a right: as its owner, %', statement;
        end;
    end loop;
end
$grant$
