-- Winners outside the batch. A user can win an e-mail address and a phone number at once, and an update takes
-- a row once, so the two are brought together first.
update users
set email = coalesce(won.email, users.email),
    email_verified = case when won.email is null then users.email_verified
                          else lower(coalesce(cognito_attributes ->> 'email_verified', '')) = 'true' end,
    phone_number = coalesce(won.phone_number, users.phone_number),
    phone_number_verified = case when won.phone_number is null then users.phone_number_verified
                                 else lower(coalesce(cognito_attributes ->> 'phone_number_verified', '')) = 'true' end,
    row_version = users.row_version + 1
from (
    select id,
           max(value) filter (where kind = 'email') as email,
           max(value) filter (where kind = 'phone') as phone_number
    from unnest($1::text[], $2::text[], $3::uuid[]) as w (kind, value, id)
    group by id
) as won
where users.id = won.id
