-- Visits that came when more aggregates waited for them than one transaction ties: the rest is tied after it.
CREATE TABLE link_debts (
    page_visit_row INTEGER PRIMARY KEY REFERENCES page_visits ON DELETE CASCADE,
    user_id        BLOB NOT NULL REFERENCES users ON DELETE CASCADE
) STRICT;
CREATE INDEX link_debts_by_user ON link_debts (user_id, page_visit_row);
