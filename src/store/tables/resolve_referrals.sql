-- Both ways at once: sign-ups of this batch whose referrer was here, and earlier ones whose referrer is new.
-- Nobody refers themselves. Returns how many were due, and how many of them were written.
with due as materialized (
    select users.id, referrer.id as referrer_id
    from users
    join users as referrer on referrer.referral_code = users.sign_up_referral_code and referrer.id <> users.id
    where (users.id = any ($1) or users.sign_up_referral_code = any ($2))
      and users.referred_by is distinct from referrer.id
), resolved as (
    update users
    set referred_by = due.referrer_id,
        row_version = users.row_version + 1
    from due
    where users.id = due.id
    returning users.id
)
select (select count(*) from due), (select count(*) from resolved)
