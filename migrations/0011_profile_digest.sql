-- What the newest event told of a user, in a digest: nearly every login tells the same again, and then nothing
-- changes but the login's columns. It holds while profile_version is attributes_version: a release that does not know
-- the digest moves that alone. Null where it is not known, as in rows from before; the next event knows it.
alter table users
    add column profile_digest uuid,
    add column profile_version uuid;

grant update (profile_digest, profile_version) on users to user_sync_consumer;
