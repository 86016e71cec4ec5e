-- The view of who is in which group, under the name that an application would choose, if that is free: it may be a table of the
-- application's. A view has a type of its name, too.
do $$
begin
    if to_regclass('user_sync_user_groups') is null
        or to_regclass('user_groups') is not null
        or to_regtype('user_groups') is not null
    then
        return;
    end if;
    create view user_groups as select user_id, name from user_sync_user_groups;
    comment on view user_groups is 'who is a member of which group';
    alter view user_groups owner to user_sync_owner;
    grant select on user_groups to user_sync_consumer, user_sync_app, user_sync_reader;
end
$$
