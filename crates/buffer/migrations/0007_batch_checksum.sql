-- The batch in flight is sent, and settled, by what stands here: damage in it must be noticed. Over the body and the
-- numbers of its items. Null: made by a program before there was one.
ALTER TABLE batch ADD COLUMN checksum INTEGER;
