-- Users who hold an address and do not show it: another one owns it. As user_contested_identifiers has them, which
-- also looks for the owner, and is slow for all users at once.
select kind, count(*) as users
from users
cross join lateral (values
    ('email', cognito_attributes ->> 'email', email),
    ('phone', cognito_attributes ->> 'phone_number', phone_number)
) as held (kind, value, shown)
where deleted_at is null and octet_length(value) between 1 and 512 and shown is null
group by kind
