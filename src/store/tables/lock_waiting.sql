-- Locks all who wait for new users' codes; returns the codes of those whose rows somebody holds, or null.
with waiting as materialized (
    select id, sign_up_referral_code as code from users where sign_up_referral_code = any ($1)
), locked as materialized (
    select id from users where id in (select id from waiting) for no key update skip locked
)
select array_agg(distinct code) from waiting where id not in (select id from locked)
