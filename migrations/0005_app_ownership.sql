-- What the application changes becomes its own: from then on the service leaves that column alone, until
-- `user-sync release`. And a view of the addresses that several users hold.
alter table users add column app_edited_at timestamptz;

comment on column users.app_owned is 'columns that the application made its own by changing them';
comment on column users.app_edited_at is 'when the application last changed the row';

-- The service says so itself, by a setting of its sessions, so that everybody else's edit counts as the
-- application's: an operator's by hand as well. Times are cut to the millisecond, like all others here.
create function users_note_app_edit() returns trigger
language plpgsql as $$
declare
    ownable constant text[] := array['name', 'first_name', 'last_name', 'date_of_birth', 'gender',
        'profile_picture_url', 'country_code', 'timezone', 'language'];
    before constant jsonb := to_jsonb(old);
    after constant jsonb := to_jsonb(new);
begin
    new.app_owned := array(
        select name from unnest(ownable) as name
        where name = any (old.app_owned) or before -> name is distinct from after -> name);
    new.app_edited_at := greatest(old.app_edited_at, date_trunc('milliseconds', clock_timestamp()));
    new.updated_at := greatest(old.updated_at, new.app_edited_at);
    return new;
end
$$;

create trigger users_note_app_edit
    before update on users
    for each row
    when (current_setting('user_sync.service', true) is distinct from 'on' and old.* is distinct from new.*)
    execute function users_note_app_edit();

-- Users who hold an address that another one owns: the unique column reads null on them.
create view user_contested_identifiers as
select held.kind, held.value, users.id as user_id, held.verified, owner.id as owner_id
from users
cross join lateral (values
    ('email', lower((cognito_attributes ->> 'email') collate "C"), users.email,
        lower(cognito_attributes ->> 'email_verified') is not distinct from 'true'),
    ('phone', lower((cognito_attributes ->> 'phone_number') collate "C"), users.phone_number,
        lower(cognito_attributes ->> 'phone_number_verified') is not distinct from 'true')
) as held (kind, value, owned, verified)
join users as owner
    on (held.kind = 'email' and owner.email = held.value) or (held.kind = 'phone' and owner.phone_number = held.value)
where users.deleted_at is null and held.owned is null;

comment on view user_contested_identifiers is 'users who hold an address that another user owns';

alter view user_contested_identifiers owner to user_sync_owner;

grant select on user_contested_identifiers to user_sync_consumer, user_sync_reader;
