-- Both ways at once: sign-ups of this batch whose referrer was here, and earlier ones whose referrer is new. Nobody refers
-- themselves. Some of them: as many as $3. A code may have a hundred thousand sign-ups, whose rows are not read for it.
with unresolved as materialized (
    select users.id, users.sign_up_referral_code as code, referrer.id as referrer_id
    from users
    join users as referrer
        on referrer.referral_code = users.sign_up_referral_code and referrer.id <> users.id
    where (users.id = any ($1) or users.sign_up_referral_code = any ($2))
      and users.referred_by is distinct from referrer.id
    limit $3
), locked as materialized (
    -- Nobody is waited for while others' rows are locked.
    select id from users where id in (select id from unresolved) for no key update skip locked
), resolved as (
    update users
    set referred_by = unresolved.referrer_id,
        row_version = users.row_version + 1
    from unresolved
    where users.id = unresolved.id and users.id in (select id from locked)
    returning users.id
)
-- How many were locked, how many of them were written, and the codes of those whose rows somebody holds.
select (select count(*) from locked), (select count(*) from resolved),
    array_agg(distinct code) filter (where id not in (select id from locked))
from unresolved
