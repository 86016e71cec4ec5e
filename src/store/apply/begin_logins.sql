-- A transaction whose update reads users by their key only, whatever joins them with the logins: so it locks them in the
-- order of their ids. A hash of either, or the table read whole, would have an order of its own.
begin;
set local enable_hashjoin = off;
set local enable_seqscan = off;
-- One plan for every batch: left to itself, PostgreSQL plans each batch of fewer than ten anew.
set local plan_cache_mode = force_generic_plan
