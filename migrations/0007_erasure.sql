-- The right to be forgotten: `user-sync erase`. The row stays, without what it said of the person, because it
-- is what remembers the sub: a message that comes late must not bring the person back. Counts stay exact,
-- since the user's events stay in the ledger, without their personal data.
alter table users add column erased_at timestamptz;

comment on column users.erased_at is 'when the person was erased; from then on nothing of it is stored';
