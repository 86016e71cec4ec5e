-- Where an address is shown on another user than the one it goes to (claims.rs has the order), and where a
-- referral is not what its code says. Over rows that were compared with the ledger before.
with held as (
    select 'email' as kind, lower((cognito_attributes ->> 'email') collate "C") as value, id, deleted_at,
           lower(coalesce(cognito_attributes ->> 'email_verified', '')) = 'true' as verified, email_since as since,
           email_left > coalesce(email_shown, '-infinity') is true as has_left, email_shown as first_shown,
           email as shown
    from users
    union all
    select 'phone', lower((cognito_attributes ->> 'phone_number') collate "C"), id, deleted_at,
           lower(coalesce(cognito_attributes ->> 'phone_number_verified', '')) = 'true', phone_since,
           phone_left > coalesce(phone_shown, '-infinity') is true, phone_shown,
           phone_number
    from users
), eligible as (
    select *, coalesce(deleted_at is null and value <> '' and octet_length(value) <= 512, false) as may_own
    from held
), expected as (
    select kind, id, shown, value,
           case when may_own and 1 = row_number() over (
               partition by kind, value
               order by may_own desc, verified desc, since desc nulls last, has_left, first_shown nulls first, id
           ) then value end as expected
    from eligible
)
select id, case kind when 'email' then 'email' else 'phone_number' end as name, shown as stored, expected,
       kind, array_remove(array[shown, value], null) as identifiers
from expected
where shown is distinct from expected
union all
select users.id, 'referred_by', users.referred_by::text, referrer.id::text, 'referral', array[]::text[]
from users
left join users as referrer
    on referrer.referral_code = users.sign_up_referral_code and referrer.id <> users.id
where users.referred_by is distinct from referrer.id
order by id, name
