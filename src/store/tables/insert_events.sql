-- The fresh events of a batch. In the order of the ids: the index grows at its right edge, and two batches
-- that share events wait for each other in one direction only.
with fresh as (
    insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
    select id, user_id, type, user_pool_id, occurred_at, data::jsonb
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
        as event (id, user_id, type, user_pool_id, occurred_at, data)
    order by id
    on conflict (id) do nothing
    returning id
)
-- One row, since thousands cost a client more than the insert costs the server. Null is all of them, as nearly always.
select case when (select count(*) from fresh) < cardinality($1) then array(select id from fresh) end
