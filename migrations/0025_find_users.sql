-- The console finds users by a user name, by the beginning of a name, by standing, group and age. No index is on what a
-- login changes (HOT).
--
-- An index keeps everybody from writing to its table for as long as it is built: half a second for 64 MB of users, 5 s for a
-- million. So what is larger is left to `user-sync maintain`, which builds it beside whoever writes
-- (store/maintenance/indexes.rs, where they are defined again: a test compares the two).
do $$
begin
    if pg_relation_size('users') < 64 * 1024 * 1024 then
        -- The beginning of a name, in lower case and byte by byte, whatever the database's collation. Users without a name
        -- are called User.
        create index users_name_prefix_idx on users (lower(name) text_pattern_ops) where name <> 'User';
        -- In most pools the user name is the sub, by which the key finds a user.
        create index users_user_name_idx on users (lower(cognito_username)) where cognito_username <> id::text;
        create index users_created_idx on users (created_at, id);
        -- Whoever is not just confirmed: few, so that a list of them is no search through all.
        create index users_standing_idx on users (
            (case when erased_at is not null then 'ERASED' when is_deleted then 'DELETED' when not enabled then 'DISABLED'
                else cognito_status end),
            created_at, id)
            where erased_at is not null or is_deleted or not enabled
                or cognito_status not in ('CONFIRMED', 'EXTERNAL_PROVIDER');
    end if;
    if pg_relation_size('user_sync_memberships') < 64 * 1024 * 1024 then
        -- A group's members, a page at a time.
        create index user_sync_memberships_name_user_idx on user_sync_memberships (name, user_id);
    end if;
end
$$;
