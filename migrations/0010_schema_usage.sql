-- The roles can reach what they may use, also in a schema other than public, or where public was closed to everybody.
do $$
begin
    execute format('grant usage on schema %I to user_sync_consumer, user_sync_app, user_sync_reader', current_schema());
end
$$;
