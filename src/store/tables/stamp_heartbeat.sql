-- Only the latest heartbeat counts, whichever arrives last.
update sync_status
set heartbeat_id = $1, heartbeat_at = $2, heartbeat_seen = now()
where heartbeat_id is null or heartbeat_id < $1
