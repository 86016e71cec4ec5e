-- A transaction whose update reads users by their key only, whatever joins them with the logins: so it locks them in the
-- order of their ids. A hash of either, or the table read whole, would have an order of its own.
begin;
set local enable_hashjoin = off;
set local enable_seqscan = off
