-- What the application keeps of a user, and what it made its own.
update users
set erased_at = coalesce(erased_at, date_trunc('milliseconds', clock_timestamp())),
    app_owned = '{}',
    row_version = row_version + 1,
    bio = default, preferences = default, settings = default, metadata = default
where id = $1
