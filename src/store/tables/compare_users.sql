-- Where rows differ from what the ledger says they should be: a line a column. As write_users.sql would write
-- them, so with the same parameters. The lists follow from model/columns.rs.
select new.id, difference.name, difference.stored, difference.expected
from {rows}
left join users on users.id = new.id
cross join lateral (values
    {comparisons},
    ('updated_at', users.updated_at::text, greatest(users.app_edited_at, new.synced_at)::text)
) as difference (name, stored, expected)
where users.id is not null and difference.stored is distinct from difference.expected
union all
select new.id, 'id', null, new.id::text
from unnest($1::uuid[]) as new (id)
where not exists (select from users where users.id = new.id)
order by id, name
