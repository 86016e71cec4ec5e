-- One row a Cognito user. Every column is a function of the set of the user's events, or the application's.
create table users (
    -- Cognito's sub. Never reassigned: who signs up again after a deletion is another user.
    id                      uuid        constraint users_pkey primary key,

    -- Authentication. Both are ASCII-lowercased and unique. Cognito lets several users hold one address;
    -- it is shown on the one who owns the claim (see user_claims) and reads null on the others.
    email                   text        constraint users_email_key unique,
    email_verified          boolean     not null default false,
    phone_number            text        constraint users_phone_number_key unique,
    phone_number_verified   boolean     not null default false,

    -- Profile.
    name                    text        not null,
    first_name              text,
    last_name               text,
    date_of_birth           date,
    gender                  text,
    bio                     text,
    profile_picture_url     text,
    country_code            text        constraint users_country_code_check check (country_code ~ '^[A-Z]{2}$'),
    timezone                text,
    language                text        not null default 'en',

    -- Account status.
    is_active               boolean     not null default true,
    is_verified             boolean     not null default false,
    is_premium              boolean     not null default false,
    is_deleted              boolean     not null default false,
    deleted_at              timestamptz,

    -- Login audit. The last four are those of one login, the latest; null where that login said nothing.
    login_count             bigint      not null default 0 constraint users_login_count_check check (login_count >= 0),
    last_login_at           timestamptz,
    last_login_ip           inet,
    last_login_device       text        constraint users_last_login_device_check
                                        check (last_login_device in ('Mobile', 'Tablet', 'Desktop')),
    last_login_location     text,

    -- Account activity.
    created_at              timestamptz not null,
    confirmed_at            timestamptz,
    created_ip              inet,
    synced_at               timestamptz not null,
    updated_at              timestamptz not null,

    -- Preferences and settings: the application's.
    preferences             jsonb       not null default '{}',
    settings                jsonb       not null default '{}',
    metadata                jsonb       not null default '{}',

    -- Referral.
    referral_code           text        not null constraint users_referral_code_key unique,
    referred_by             uuid,

    -- Cognito metadata.
    user_pool_id            text,
    cognito_username        text,
    cognito_status          text,
    enabled                 boolean     not null default true,
    cognito_attributes      jsonb       not null default '{}',

    -- Columns that the application made its own; the service no longer writes them.
    app_owned               text[]      not null default '{}',

    -- The service's own state: what the fold needs beside the columns above. Versions are event ids, whose
    -- order is the order of (time, id).
    attributes_version      uuid,                           -- of every attribute, but those in:
    attribute_versions      jsonb       not null default '{}',
    enabled_at              timestamptz,
    federated_login         boolean     not null default false, -- one login is a federated confirmation
    last_login_id           uuid,
    sign_up_id              uuid,                           -- the confirmation with the smallest (time, id)
    sign_up_referral_code   text,
    email_since             timestamptz,                    -- when this user first showed this address verified
    phone_since             timestamptz
)
-- Room for the next version of a row on its own page, so that an update touches no index (HOT): none of the
-- columns that a login changes is indexed.
with (fillfactor = 85);

create index users_sign_up_referral_code_idx on users (sign_up_referral_code)
    where sign_up_referral_code is not null;

alter table users owner to user_sync_owner;

comment on table users is 'one row a Cognito user, kept by cognito-user-sync';

-- Who ever held which address, so that an owner can be chosen, and chosen again when the owner leaves.
create table user_claims (
    kind    text    constraint user_claims_kind_check check (kind in ('email', 'phone')),
    value   text    collate "C",
    user_id uuid    constraint user_claims_user_id_fkey references users (id),
    since   timestamptz, -- the earliest event that showed this user with this value verified; null if none did
    constraint user_claims_pkey primary key (kind, value, user_id)
);

alter table user_claims owner to user_sync_owner;

create index user_claims_user_id_idx on user_claims (user_id);

comment on table user_claims is 'every e-mail address and phone number that a user ever showed; ASCII-lowercased';

grant select on users, user_claims to user_sync_consumer, user_sync_reader;
grant select on users to user_sync_app;

-- The consumer inserts what it keeps and updates it; the application's columns keep their defaults.
grant insert (
    id, name, referral_code, created_at, synced_at, updated_at
), update (
    email, email_verified, phone_number, phone_number_verified,
    name, first_name, last_name, date_of_birth, gender, profile_picture_url, country_code, timezone, language,
    is_active, is_verified, is_deleted, deleted_at,
    login_count, last_login_at, last_login_ip, last_login_device, last_login_location,
    created_at, confirmed_at, created_ip, synced_at, updated_at,
    referred_by,
    user_pool_id, cognito_username, cognito_status, enabled, cognito_attributes,
    attributes_version, attribute_versions, enabled_at, federated_login, last_login_id,
    sign_up_id, sign_up_referral_code, email_since, phone_since
) on users to user_sync_consumer;
grant insert, update (since) on user_claims to user_sync_consumer;

-- The application edits profiles and what is its own; it creates and deletes nobody.
grant update (
    name, first_name, last_name, date_of_birth, gender, bio, profile_picture_url, country_code, timezone, language,
    is_premium, preferences, settings, metadata
) on users to user_sync_app;
