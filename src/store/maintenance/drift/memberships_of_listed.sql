-- Of users whom the pool lists in a group, those whom the tables do not show in it, and the time of what they know.
-- Who was erased is left out: nothing of the person is stored again.
select listed.user_id, greatest(known.at, cleared.cleared_at) as known_at
from unnest($1::uuid[]) as listed (user_id)
left join user_sync_memberships as known on known.user_id = listed.user_id and known.name = $3
left join user_sync_groups as cleared on cleared.user_pool_id = $2 and cleared.name = $3
left join users on users.id = listed.user_id
where users.erased_at is null
  and (known.user_id is null or known.gone or known.at <= cleared.cleared_at)
