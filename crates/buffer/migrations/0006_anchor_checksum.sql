-- An anchor goes to the backend like any record: damage must be noticed there too. Null: kept before there was one.
ALTER TABLE anchor ADD COLUMN checksum INTEGER;
