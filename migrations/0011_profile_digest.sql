-- What the newest event told of a user, in a digest: nearly every login tells the same again, and then nothing
-- changes but the login's columns. Null where it is not known, as in rows from before; the next event knows it.
alter table users add column profile_digest uuid;

grant update (profile_digest) on users to user_sync_consumer;
