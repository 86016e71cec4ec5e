-- Who is in which group of the user pool. A membership is a register: the latest word on it counts, and in the same second
-- that the user is gone, since the sources of these events know seconds only. So times are cut to the second.
--
-- A membership needs no row of users: the user may come later, or never. So there is no foreign key.
create table user_sync_memberships (
    user_id      uuid        not null,
    name         text        not null,
    user_pool_id text        not null, -- the pool of the event that counts
    at           timestamptz not null,
    gone         boolean     not null,
    constraint user_sync_memberships_pkey primary key (user_id, name)
);

create index user_sync_memberships_name_idx on user_sync_memberships (name);

comment on table user_sync_memberships is 'the latest word on each user in each group; user_sync_user_groups says who is a member';

-- Who deletes a group removes everybody from it.
create table user_sync_groups (
    user_pool_id text        not null,
    name         text        not null,
    cleared_at   timestamptz not null,
    constraint user_sync_groups_pkey primary key (user_pool_id, name)
);

comment on table user_sync_groups is 'when a group was last deleted: nobody was a member after that who did not join later';

-- As user_baseline is for users. Tables of their own, and not columns of those above: a fold keeps its rows locked until its
-- month is dropped, and whoever applies events must not wait for that.
create table user_sync_membership_baseline (
    user_id      uuid        not null,
    name         text        not null,
    user_pool_id text        not null,
    at           timestamptz not null,
    gone         boolean     not null,
    constraint user_sync_membership_baseline_pkey primary key (user_id, name)
);

comment on table user_sync_membership_baseline is 'what the events of dropped partitions amounted to, a row a membership';

create table user_sync_group_baseline (
    user_pool_id text        not null,
    name         text        not null,
    cleared_at   timestamptz not null,
    constraint user_sync_group_baseline_pkey primary key (user_pool_id, name)
);

comment on table user_sync_group_baseline is 'the latest deletion of a group in dropped partitions';

comment on column user_events.user_id is 'the sub; the nil UUID where the event is of nobody: of a group that was deleted';

create view user_sync_user_groups as
select member.user_id, member.name
from user_sync_memberships as member
where not member.gone
  and not exists (
      select from user_sync_groups as deleted
      where deleted.user_pool_id = member.user_pool_id and deleted.name = member.name and deleted.cleared_at >= member.at)
  and not exists (select from users where users.id = member.user_id and users.is_deleted);

comment on view user_sync_user_groups is 'who is a member of which group; the same as user_groups, where that name was free';

create view report_groups as
select member.user_pool_id, member.name, count(*) as members
from user_sync_user_groups
join user_sync_memberships as member using (user_id, name)
group by 1, 2;

comment on view report_groups is 'groups with any members, and how many';

alter table user_sync_memberships owner to user_sync_owner;
alter table user_sync_groups owner to user_sync_owner;
alter table user_sync_membership_baseline owner to user_sync_owner;
alter table user_sync_group_baseline owner to user_sync_owner;
alter view user_sync_user_groups owner to user_sync_owner;
alter view report_groups owner to user_sync_owner;

grant select on user_sync_memberships, user_sync_groups, user_sync_user_groups
    to user_sync_consumer, user_sync_app, user_sync_reader;
grant select on user_sync_membership_baseline, user_sync_group_baseline, report_groups to user_sync_consumer, user_sync_reader;
grant insert (user_id, name, user_pool_id, at, gone), update (user_pool_id, at, gone) on user_sync_memberships
    to user_sync_consumer;
grant insert (user_pool_id, name, cleared_at), update (cleared_at) on user_sync_groups to user_sync_consumer;
