-- Which identities at providers a user has. The attribute `identities` says so as a JSON text, in two spellings: who looks
-- for the user of a provider would have to read both. So the column has one spelling, and the view a row for each.
--
-- Null in what is there, which is added without a rewrite: `user-sync verify --repair` writes the identities of all rows.
-- No index: an update of a user that changes none of them stays on its page.
alter table users add column cognito_identities jsonb;

comment on column users.cognito_identities is 'the identities at providers that Cognito has linked; null where there are none';

grant update (cognito_identities) on users to user_sync_consumer;

create view user_sync_identities as
select users.id as user_id, identity.provider_name, identity.provider_type, identity.provider_user_id, identity.linked_at,
    identity.is_primary
from users
cross join lateral jsonb_to_recordset(
    -- Only this service writes the column, but an owner could.
    case when jsonb_typeof(cognito_identities) = 'array' then cognito_identities end
) as identity (provider_name text, provider_type text, provider_user_id text, linked_at timestamptz, is_primary boolean)
where not users.is_deleted;

comment on view user_sync_identities is
    'the identities of users who are not deleted at providers: of which provider, its id of the user, linked when, whether primary';

alter view user_sync_identities owner to user_sync_owner;

grant select on user_sync_identities to user_sync_consumer, user_sync_reader, user_sync_app;
