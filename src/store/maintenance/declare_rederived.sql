-- The users that have an event or a context in a range of time, or one user. Who has contexts and no row is left to
-- `verify --repair`: their locks are those of all who are new.
-- Of months that were folded into the baseline it
-- is no longer known who had events in them: a range that reaches into them takes everybody of the baseline.
declare rederived no scroll cursor for
select user_id
from user_events
where type not in ('user.group_joined', 'user.group_left', 'group.deleted')
  and ($1::uuid is null or user_id = $1)
  and ($2::timestamptz is null or id >= user_event_bound($2))
  and ($3::timestamptz is null or id < user_event_bound($3))
union
select user_id
from user_baseline
where ($1::uuid is null or user_id = $1)
  and ($2::timestamptz is null or user_event_bound($2) < (select lower from user_event_partitions order by lower limit 1))
union
select user_id
from user_sync_contexts
where user_id is not null
  and ($1::uuid is null or user_id = $1)
  and ($1::uuid is not null or exists (select from users where users.id = user_sync_contexts.user_id))
  and ($2::timestamptz is null or id >= user_event_bound($2))
  and ($3::timestamptz is null or id < user_event_bound($3))
union
select user_id
from user_sync_context_baseline
where ($1::uuid is null or user_id = $1)
  and ($1::uuid is not null or exists (select from users where users.id = user_sync_context_baseline.user_id))
  and ($2::timestamptz is null
      or user_event_bound($2) < (select lower from user_sync_record_partitions order by lower limit 1))
order by user_id
