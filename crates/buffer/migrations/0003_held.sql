-- Held rows are counted from an index: a retried row at the end of the queue is free while those before it are
-- held, so their place tells nothing. Rows that were never held have held_until 0.
CREATE INDEX record_held ON record (account, held_until) WHERE state = 1 AND held_until > 0;
