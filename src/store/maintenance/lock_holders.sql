-- The processes whose transactions hold locks on tables: any locks, or, where whoever reads or writes ($2) is not in the
-- way, those of others.
select distinct pid
from pg_locks
where locktype = 'relation' and granted and pid is distinct from pg_backend_pid()
  and database = (select oid from pg_database where datname = current_database())
  and relation in (select to_regclass(quote_ident(name)) from unnest($1::text[]) as name)
  and not ($2 and mode in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
