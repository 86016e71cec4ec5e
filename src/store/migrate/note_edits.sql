-- The trigger that notes the application's edits, as migrations/0012_sessions.sql made it; enabled, if it is disabled.
create or replace trigger users_note_app_edit
    before update on users
    for each row
    when (current_setting('user_sync.service', true) is distinct from 'versioned')
    execute function user_sync_note_edit()
