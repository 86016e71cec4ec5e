-- Of each pool and Region what was seen last, whichever heartbeat arrives last; and no more of them than a deployment has,
-- whoever sends heartbeats. Only this service writes the column, but an owner could.
update sync_status
set pools = (
    select jsonb_agg(seen order by (seen ->> 'at') collate "C" desc)
    from (
        select seen
        from (
            select distinct on (seen ->> 'user_pool_id', seen ->> 'region') seen
            from jsonb_array_elements(case when jsonb_typeof(pools) = 'array' then pools else '[]' end || $1::jsonb) as each (seen)
            order by seen ->> 'user_pool_id', seen ->> 'region', (seen ->> 'at') collate "C" desc
        ) as latest
        order by (seen ->> 'at') collate "C" desc
        limit 64
    ) as kept
)
