-- The logins, and the sign-ins that others recorded, of a range of time: each user's together and in the order of time; what
-- names no user comes last.
declare audited no scroll cursor for
select user_id, id, data ->> 'client_id' as client_id, null as reported_by, null as flow,
    data -> 'federated' = 'true' as is_federated
from user_events
where id >= user_event_bound($1) and id < user_event_bound($2)
  and (type = 'user.authenticated' or (type = 'user.confirmed' and data -> 'federated' = 'true'))
union all
select user_id, id, client_id, reported_by, data ->> 'flow', false
from user_sync_contexts
where id >= user_event_bound($1) and id < user_event_bound($2) and occasion = 'sign_in'
order by user_id, id
