-- A row as a person would read it: of the first users, who are one of each story.
select array[
    users.name,
    coalesce(users.email, users.phone_number, '-'),
    case when users.is_verified then 'yes' else 'no' end,
    users.login_count::text,
    coalesce(to_char(users.last_login_at at time zone 'utc', 'HH24:MI:SS'), '-'),
    coalesce(host(users.last_login_ip), '-'),
    coalesce(users.last_login_device, '-'),
    coalesce(referrer.name, '-')
]
from users
left join users as referrer on referrer.id = users.referred_by
order by users.created_at, users.id
limit $1
