-- The application's edits are noted whatever columns it added. Of a row that was compared as jsonb, an edit of a `json` column
-- that changes how it is written was none, and one of JSON that jsonb cannot hold (`\u0000`, numbers beyond numeric) failed,
-- as did every edit of such a row.
--
-- As in 0012, but for how rows are compared: as they are stored (`*=`), which needs no operator of a type's.
create or replace function user_sync_note_edit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $note$
declare
    ownable constant text[] := array['name', 'first_name', 'last_name', 'date_of_birth', 'gender',
        'profile_picture_url', 'country_code', 'timezone', 'language'];
    prefix text;
    stored_before text;
    stored_after text;
    is_same boolean;
    before jsonb;
    after jsonb;
begin
    if current_setting('user_sync.service', true) = 'on' then
        new.row_version := old.row_version + 1;
        return new;
    end if;
    execute format('select role_prefix from %I.user_sync_deployment', tg_table_schema) into prefix;
    -- 'usage', never 'member': from PostgreSQL 16 on, whoever made a role is a member of it, and that is RDS's master.
    if (coalesce(pg_has_role(session_user, to_regrole(prefix || '_consumer'), 'usage'), false)
            or current_setting('role') = prefix || '_consumer')
        and not coalesce(pg_has_role(session_user, to_regrole(prefix || '_app'), 'usage'), false)
        and not (select rolsuper from pg_roles where rolname = session_user)
    then
        raise exception 'users: a write of the service without its mark, user_sync.service'
            using errcode = '55000', hint = 'Begin the transaction with user_sync_begin.';
    end if;
    is_same := old *= new;
    -- A generated column has no value yet, so the others are compared by themselves.
    if not is_same and exists (select from pg_attribute where attrelid = tg_relid and attgenerated <> '') then
        select string_agg(format('($1).%I', attname), ', ' order by attnum),
            string_agg(format('($2).%I', attname), ', ' order by attnum)
        into stored_before, stored_after
        from pg_attribute
        where attrelid = tg_relid and attnum > 0 and not attisdropped and attgenerated = '';
        execute format('select one *= other from (select %s) as one, (select %s) as other', stored_before, stored_after)
            using old, new into is_same;
    end if;
    if is_same then
        return new;
    end if;
    before := jsonb_build_object(
        'name', old.name, 'first_name', old.first_name, 'last_name', old.last_name, 'date_of_birth', old.date_of_birth,
        'gender', old.gender, 'profile_picture_url', old.profile_picture_url, 'country_code', old.country_code,
        'timezone', old.timezone, 'language', old.language);
    after := jsonb_build_object(
        'name', new.name, 'first_name', new.first_name, 'last_name', new.last_name, 'date_of_birth', new.date_of_birth,
        'gender', new.gender, 'profile_picture_url', new.profile_picture_url, 'country_code', new.country_code,
        'timezone', new.timezone, 'language', new.language);
    new.row_version := old.row_version + 1;
    new.app_owned := array(
        select name from unnest(ownable) as name
        where name = any (old.app_owned) or before -> name is distinct from after -> name);
    new.app_edited_at := greatest(old.app_edited_at, date_trunc('milliseconds', clock_timestamp()));
    new.updated_at := greatest(old.updated_at, new.app_edited_at);
    return new;
end
$note$;
