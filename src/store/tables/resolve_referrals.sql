-- Both ways at once: sign-ups of this batch whose referrer was here, and earlier ones whose referrer is new.
-- Nobody refers themselves.
update users
set referred_by = referrer.id,
    row_version = users.row_version + 1
from users as referrer
where (users.id = any ($1) or users.sign_up_referral_code = any ($2))
  and referrer.referral_code = users.sign_up_referral_code
  and referrer.id <> users.id
  and users.referred_by is distinct from referrer.id
