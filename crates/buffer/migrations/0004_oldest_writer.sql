-- The oldest schema whose programs may go on writing to this file: one that was open, or is started, while a newer
-- program is in use, works on. A migration that old writers would break raises it.
INSERT INTO meta (key, value) VALUES ('oldest_writer', '1') ON CONFLICT DO NOTHING;
