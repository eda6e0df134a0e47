-- Tokens that name their session themselves need not be kept once they are spent; those issued before do not.
ALTER TABLE refresh_tokens ADD COLUMN names_session INTEGER NOT NULL DEFAULT 0;
CREATE INDEX refresh_tokens_spent ON refresh_tokens (spent_at) WHERE names_session AND spent_at IS NOT NULL;
