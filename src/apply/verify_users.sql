-- Where rows differ from what the ledger says they should be: a line a column. As write_users.sql would write
-- them, so with the same parameters.
select new.id, difference.name, difference.stored, difference.expected
