-- A visit is looked up by its id: by its tab alone, a batch from a tab with fifty thousand visits looked at all
-- of them for every record.
CREATE INDEX tab_visit_id ON tab_visit (source, id);
