-- A statement of its own before anybody acquires: a unique index is checked row by row, and two users who
-- swap their addresses would each meet the other's.
update users
set email = case when id = any ($1) then null else email end,
    email_verified = email_verified and id <> all ($1),
    phone_number = case when id = any ($2) then null else phone_number end,
    phone_number_verified = phone_number_verified and id <> all ($2),
    row_version = row_version + 1
where id = any ($1) or id = any ($2)
