-- Users by what they are now; who was is 0.
with found as (
    select case when grouping(device) = 0 then 'device' else 'country' end as kind,
        coalesce(case when grouping(device) = 0 then device else country end, '') as name, count(*) as users
    from (
        select coalesce(last_login_device, '') as device, coalesce(country_code, '') as country
        from users
        where not is_deleted and created_at <= now()
    ) as kept
    group by grouping sets ((device), (country))
)
insert into user_sync_daily_shares as old (kind, name, users)
select kind, name, users from found
union all
select kind, name, 0 from user_sync_daily_shares as gone
where users <> 0 and not exists (select from found where found.kind = gone.kind and found.name = gone.name)
on conflict (kind, name) do update set users = excluded.users where old.users <> excluded.users
