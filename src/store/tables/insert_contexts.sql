-- Records of sign-ins that the ledger does not have; returns their ids.
insert into user_sync_contexts (id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness, occurred_at, data)
select id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness, occurred_at, data::jsonb
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::timestamptz[], $9::text[])
    as event (id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness, occurred_at, data)
order by id
on conflict (id) do nothing
returning id
