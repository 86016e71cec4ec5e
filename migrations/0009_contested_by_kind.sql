-- The same view, a half for each kind: joined by an `or`, no index was of use, and reading it whole took the square
-- of the users.
create or replace view user_contested_identifiers as
select 'email' as kind, held.value, held.user_id, held.verified, owner.id as owner_id
from (
    select id as user_id, lower((cognito_attributes ->> 'email') collate "C") as value,
           lower(cognito_attributes ->> 'email_verified') is not distinct from 'true' as verified
    from users
    where deleted_at is null and email is null
) as held
join users as owner on owner.email = held.value
union all
select 'phone', held.value, held.user_id, held.verified, owner.id
from (
    select id as user_id, lower((cognito_attributes ->> 'phone_number') collate "C") as value,
           lower(cognito_attributes ->> 'phone_number_verified') is not distinct from 'true' as verified
    from users
    where deleted_at is null and phone_number is null
) as held
join users as owner on owner.phone_number = held.value;
