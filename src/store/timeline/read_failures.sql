-- Sign-ins of one user that failed, the latest before an id first.
select id, client_id, reason, network::text as network, reported_by
from user_sync_failures
where user_id = $1 and id < $2
order by id desc
limit $3
