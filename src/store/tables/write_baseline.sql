insert into user_baseline (user_id, state, claims)
select user_id, state::jsonb, claims::jsonb
from unnest($1::uuid[], $2::text[], $3::text[]) as folded (user_id, state, claims)
on conflict (user_id) do update set state = excluded.state, claims = excluded.claims
