-- The latest word on each membership in a month, from the first id to before the last, and in the months before.
insert into user_sync_membership_baseline as known (user_id, name, user_pool_id, at, gone)
select distinct on (user_id, data ->> 'group')
    user_id, data ->> 'group', user_pool_id, date_trunc('second', occurred_at), type = 'user.group_left'
from user_events
where id >= $1 and id < $2
  and type in ('user.group_joined', 'user.group_left')
  and data ->> 'group' is not null
order by user_id, data ->> 'group', date_trunc('second', occurred_at) desc, type = 'user.group_left' desc,
    user_pool_id collate "C" desc
on conflict (user_id, name) do update
    set (user_pool_id, at, gone) = (
        select word.user_pool_id, word.at, word.gone
        from (values (known.user_pool_id, known.at, known.gone), (excluded.user_pool_id, excluded.at, excluded.gone))
            as word (user_pool_id, at, gone)
        order by word.at desc, word.gone desc, word.user_pool_id collate "C" desc
        limit 1)
