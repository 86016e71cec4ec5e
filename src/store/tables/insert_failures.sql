-- The fresh ones of a batch's failures. In the order of the ids: the index grows at its right edge, and two batches that
-- share failures wait for each other in one direction only.
--
-- Of a user who is erased, the network and the details are left out. Whoever erases locks this table against writes first: so this statement
-- either sees the erasure, or has been committed before it.
with erased as materialized (
    select id from users where id = any ($10::uuid[]) and erased_at is not null
),
fresh as (
    insert into user_sync_failures
        (id, user_id, user_pool_id, client_id, reason, network, reported_by, occurred_at, data)
    select id, user_id, user_pool_id, client_id, reason, case when not is_erased then network::cidr end, reported_by,
        occurred_at, case when not is_erased then data::jsonb end
    from unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::text[]
    ) as failure (id, user_id, user_pool_id, client_id, reason, network, reported_by, occurred_at, data)
    cross join lateral (select coalesce(user_id in (select erased.id from erased), false)) as known (is_erased)
    order by id
    on conflict (id) do nothing
    returning id
)
-- One row, as in insert_events.sql. Null is all of them, as nearly always.
select case when (select count(*) from fresh) < cardinality($1) then array(select id from fresh) end
