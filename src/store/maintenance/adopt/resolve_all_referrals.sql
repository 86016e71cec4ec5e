-- Who was referred by somebody whose row came later in the old table. Nobody refers themselves.
update users
set referred_by = referrer.id,
    row_version = users.row_version + 1
from users as referrer
where referrer.referral_code = users.sign_up_referral_code
  and referrer.id <> users.id
  and users.referred_by is distinct from referrer.id
