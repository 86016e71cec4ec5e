-- Gives a role its mark, unless whoever migrates may not: a member of the owner's role may run migrations, too.
do $mark$
begin
    comment on role {role} is {comment};
exception
    when insufficient_privilege then
        raise warning 'the role % is not marked: run user-sync migrate once as who made it', {name};
end
$mark$
