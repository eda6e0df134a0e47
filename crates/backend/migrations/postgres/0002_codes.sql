-- Confirmed addresses, and codes sent by e-mail. Who has an account already keeps it as it is.
ALTER TABLE users ADD COLUMN confirmed_at BIGINT;
UPDATE users SET confirmed_at = created_at;

INSERT INTO session_ends VALUES (5, 'password_reset');

CREATE TABLE code_purposes (
    purpose BIGINT PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE
);
INSERT INTO code_purposes VALUES (1, 'confirm_address'), (2, 'reset_password');

-- The latest code of each purpose, as an Argon2 hash.
CREATE TABLE codes (
    user_id    UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose    BIGINT NOT NULL REFERENCES code_purposes,
    hash       TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    made_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, purpose)
);
CREATE INDEX codes_by_age ON codes (expires_at);
