-- Who showed an address first keeps it against others who have not verified it: since when each user has shown an
-- address, and when the user last showed another one. By the smallest sub, which decided before, a newcomer took an
-- unverified address, such as a federated user's, in half of all tries.
--
-- Null in what is there, which is not known and counts as earlier than any time: so a column is added without a rewrite,
-- and nobody who comes now is before those who are there. `user-sync verify --repair` writes the times of all rows.
alter table user_claims add column shown timestamptz;

alter table users
    add column email_shown timestamptz,
    add column phone_shown timestamptz,
    add column email_left timestamptz,
    add column phone_left timestamptz,
    -- A deletion that was forged or mistaken can be taken back. A user who was restored is deleted if the last deletion is
    -- later than that. Null where it is deleted_at, as it nearly always is.
    add column last_deleted_at timestamptz,
    add column restored_at timestamptz;

comment on column user_claims.shown is 'the earliest event that showed this user with this value';
comment on column users.email_shown is 'when this user first showed the e-mail address that it holds';
comment on column users.phone_shown is 'when this user first showed the phone number that it holds';
comment on column users.email_left is 'when this user last showed another e-mail address than it holds, or none';
comment on column users.phone_left is 'when this user last showed another phone number than it holds, or none';
comment on column users.last_deleted_at is 'the latest deletion, where deleted_at is another one or null';
comment on column users.restored_at is 'when the user was last found alive after a deletion: no deletion up to then counts';

grant update (email_shown, phone_shown, email_left, phone_left, last_deleted_at, restored_at) on users to user_sync_consumer;
grant update (shown) on user_claims to user_sync_consumer;
