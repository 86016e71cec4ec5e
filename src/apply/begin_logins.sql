-- A transaction whose update finds rows by their index, one login after the other: so it locks them in the order in
-- which it is given them, that of their ids. A hash of them, or of the table, would have an order of its own.
begin;
set local enable_hashjoin = off;
set local enable_seqscan = off
