-- The backend's schema on SQLite. Times are milliseconds since the epoch; ids of users and sessions are UUIDs
-- (16 bytes); checksums are SHA-256 (32 bytes). `record` is the record's JSON text as it was sent.

-- Small tables instead of CHECK lists: SQLite cannot alter a CHECK without rebuilding the table.
CREATE TABLE kinds (
    kind INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO kinds VALUES (1, 'pageVisit'), (2, 'tabAggregate');

CREATE TABLE checksum_algorithms (
    algorithm INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO checksum_algorithms VALUES (1, 'sha256-canonical-json');

CREATE TABLE session_ends (
    reason INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO session_ends VALUES (1, 'signed_out'), (2, 'signed_out_everywhere'), (3, 'password_changed'),
                                (4, 'refresh_token_reused');

CREATE TABLE users (
    id            BLOB PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    first_name    TEXT,
    last_name     TEXT,
    created_at    INTEGER NOT NULL
) STRICT;

-- One counter per user over all kinds; apart from `users`, because every batch writes it. The epoch says which
-- life of the counter a version belongs to: a restored copy gets a new one.
CREATE TABLE feeds (
    user_id BLOB PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    version INTEGER NOT NULL,
    epoch   TEXT NOT NULL
) STRICT;

CREATE TABLE devices (
    user_id       BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    id            TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;

-- A session is a family of refresh tokens, of which one is current.
CREATE TABLE sessions (
    id         BLOB PRIMARY KEY,
    user_id    BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER,
    end_reason INTEGER REFERENCES session_ends
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);

-- Tokens by hash only. `successor_sealed` is the next token, readable only with the token that was spent for it.
CREATE TABLE refresh_tokens (
    hash             BLOB PRIMARY KEY,
    session_id       BLOB NOT NULL REFERENCES sessions ON DELETE CASCADE,
    issued_at        INTEGER NOT NULL,
    spent_at         INTEGER,
    successor_hash   BLOB,
    successor_sealed BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

CREATE TABLE page_visits (
    row_id               INTEGER PRIMARY KEY,
    user_id              BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    source               TEXT NOT NULL,
    id                   TEXT NOT NULL,
    version              INTEGER NOT NULL,
    device_id            TEXT,
    captured_at          INTEGER,
    received_at          INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    checksum             BLOB NOT NULL,
    checksum_algorithm   INTEGER NOT NULL REFERENCES checksum_algorithms,
    -- What decides between versions: see store/decide.rs.
    revision             INTEGER NOT NULL,
    complete_1           REAL,
    complete_2           REAL,
    complete_3           REAL,
    record               TEXT NOT NULL,
    -- For querying; null where the record says nothing or what it says does not fit.
    url                  TEXT,
    host                 TEXT,
    visited_at           INTEGER,
    title                TEXT,
    domain               TEXT,
    tab_id               INTEGER,
    ended_at             INTEGER,
    duration_ms          INTEGER,
    active_duration_ms   INTEGER,
    is_active            INTEGER,
    engagement_rate      REAL,
    last_heartbeat       INTEGER,
    source_page_visit_id TEXT,
    category             TEXT,
    category_confidence  REAL,
    category_method      TEXT,
    anonymous_client_id  TEXT,
    UNIQUE (user_id, source, id)
) STRICT;
CREATE INDEX page_visits_feed ON page_visits (user_id, version, id, source);
CREATE INDEX page_visits_time ON page_visits (user_id, visited_at);
CREATE INDEX page_visits_host ON page_visits (user_id, host);

CREATE TABLE tab_aggregates (
    row_id                INTEGER PRIMARY KEY,
    user_id               BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    source                TEXT NOT NULL,
    id                    TEXT NOT NULL,
    version               INTEGER NOT NULL,
    device_id             TEXT,
    captured_at           INTEGER,
    received_at           INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    checksum              BLOB NOT NULL,
    checksum_algorithm    INTEGER NOT NULL REFERENCES checksum_algorithms,
    -- What decides between versions: see store/decide.rs.
    revision              INTEGER NOT NULL,
    complete_1            REAL,
    complete_2            REAL,
    complete_3            REAL,
    record                TEXT NOT NULL,
    -- The visit as the record names it, and its row once that is here.
    page_visit_id         TEXT,
    page_visit_row        INTEGER REFERENCES page_visits ON DELETE SET NULL,
    tab_id                INTEGER,
    started_at            INTEGER,
    last_active_at        INTEGER,
    total_active_ms       INTEGER,
    page_count            INTEGER,
    current_url           TEXT,
    current_host          TEXT,
    current_domain        TEXT,
    domain_durations      TEXT,
    -- JSON array of every domain the record mentions.
    domains               TEXT NOT NULL,
    total_time_seconds    REAL,
    active_time_seconds   REAL,
    scroll_depth_percent  REAL,
    closed_at             INTEGER,
    is_open               INTEGER,
    anonymous_client_id   TEXT,
    UNIQUE (user_id, source, id)
) STRICT;
CREATE INDEX tab_aggregates_feed ON tab_aggregates (user_id, version, id, source);
CREATE INDEX tab_aggregates_time ON tab_aggregates (user_id, started_at);
CREATE INDEX tab_aggregates_unlinked ON tab_aggregates (user_id, source, page_visit_id)
    WHERE page_visit_row IS NULL AND page_visit_id IS NOT NULL;
CREATE INDEX tab_aggregates_visit ON tab_aggregates (page_visit_row) WHERE page_visit_row IS NOT NULL;

-- What was deleted: its identity stays, so that it is not stored again and other devices learn of it.
CREATE TABLE tombstones (
    user_id            BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    kind               INTEGER NOT NULL REFERENCES kinds,
    source             TEXT NOT NULL,
    id                 TEXT NOT NULL,
    version            INTEGER NOT NULL,
    device_id          TEXT,
    captured_at        INTEGER,
    received_at        INTEGER NOT NULL,
    deleted_at         INTEGER NOT NULL,
    checksum           BLOB NOT NULL,
    checksum_algorithm INTEGER NOT NULL REFERENCES checksum_algorithms,
    PRIMARY KEY (user_id, kind, source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_feed ON tombstones (user_id, version, kind, id, source);

-- Answers to be replayed, written in the transaction of the data they speak of.
CREATE TABLE idempotency_keys (
    user_id     BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    key         TEXT NOT NULL,
    body_hash   BLOB NOT NULL,
    answer      TEXT NOT NULL,
    answered_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, method, path, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (answered_at);
