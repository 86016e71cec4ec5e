-- Every row that the batch, and the addresses it affects, may touch, but for those who wait for a referrer: they may be
-- many, and resolve_referrals.sql locks them. The value locks are held: no other transaction changes who holds one of
-- these addresses. state_of_users.sql follows.
with affected as (
    select kind, value from unnest($2::text[], $3::text[]) as c (kind, value)
), touched as (
    select id from users where id = any ($1::uuid[])
    union
    -- Who owns an address now.
    select users.id from affected join users on affected.kind = 'email' and users.email = affected.value
    union
    select users.id from affected join users on affected.kind = 'phone' and users.phone_number = affected.value
    union
    -- Who would own it, were there nobody in the batch: the greatest claimant (claims.rs has the order).
    select next.id
    from affected
    cross join lateral (
        select users.id
        from user_claims
        join users on users.id = user_claims.user_id
        where user_claims.kind = affected.kind
          and user_claims.value = affected.value
          and user_claims.user_id <> all ($1::uuid[])
          and users.deleted_at is null
          and affected.value = lower((users.cognito_attributes ->>
                case affected.kind when 'email' then 'email' else 'phone_number' end) collate "C")
        order by lower(coalesce(users.cognito_attributes ->>
                case affected.kind when 'email' then 'email_verified' else 'phone_number_verified' end, '')) = 'true' desc,
            user_claims.since desc nulls last,
            -- Who left, and when it was first shown; what is not known is earlier than any time.
            case affected.kind when 'email' then users.email_left else users.phone_left end
                > coalesce(user_claims.shown, '-infinity') is true,
            user_claims.shown nulls first,
            users.id
        limit 1
    ) as next
)
