-- The backend's schema on PostgreSQL: the same tables as on SQLite. Times are milliseconds since the epoch; checksums
-- are SHA-256. `record` is the record's JSON text as it was sent: text, because jsonb would change numbers.
-- What orders the feed has the collation "C", so that every server orders alike.

CREATE TABLE kinds (
    kind BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO kinds VALUES (1, 'pageVisit'), (2, 'tabAggregate');

CREATE TABLE checksum_algorithms (
    algorithm BIGINT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE
);
INSERT INTO checksum_algorithms VALUES (1, 'sha256-canonical-json');

CREATE TABLE session_ends (
    reason BIGINT PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
);
INSERT INTO session_ends VALUES (1, 'signed_out'), (2, 'signed_out_everywhere'), (3, 'password_changed'),
                                (4, 'refresh_token_reused');

CREATE TABLE users (
    id            UUID PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    first_name    TEXT,
    last_name     TEXT,
    created_at    BIGINT NOT NULL
);

-- One counter per user over all kinds; apart from `users`, because every batch writes it. The epoch says which
-- life of the counter a version belongs to: a restored copy gets a new one.
CREATE TABLE feeds (
    user_id UUID PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    version BIGINT NOT NULL,
    -- Counts every change, also those that take no version: tells a writer that another was faster.
    changes BIGINT NOT NULL DEFAULT 0,
    epoch   TEXT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE devices (
    user_id       UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    id            TEXT COLLATE "C" NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    PRIMARY KEY (user_id, id)
);

-- A session is a family of refresh tokens, of which one is current.
CREATE TABLE sessions (
    id         UUID PRIMARY KEY,
    user_id    UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at   BIGINT,
    end_reason BIGINT REFERENCES session_ends
);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- Tokens by hash only. `successor_sealed` is the next token, readable only with the token that was spent for it.
CREATE TABLE refresh_tokens (
    hash             BYTEA PRIMARY KEY,
    session_id       UUID NOT NULL REFERENCES sessions ON DELETE CASCADE,
    issued_at        BIGINT NOT NULL,
    spent_at         BIGINT,
    successor_hash   BYTEA,
    successor_sealed BYTEA
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

CREATE TABLE page_visits (
    row_id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id              UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    source               TEXT COLLATE "C" NOT NULL,
    id                   TEXT COLLATE "C" NOT NULL,
    version              BIGINT NOT NULL,
    device_id            TEXT,
    captured_at          BIGINT,
    received_at          BIGINT NOT NULL,
    updated_at           BIGINT NOT NULL,
    checksum             BYTEA NOT NULL,
    checksum_algorithm   BIGINT NOT NULL REFERENCES checksum_algorithms,
    -- What decides between versions: see store/decide.rs.
    revision             BIGINT NOT NULL,
    complete_1           DOUBLE PRECISION,
    complete_2           DOUBLE PRECISION,
    complete_3           DOUBLE PRECISION,
    record               TEXT NOT NULL,
    -- For querying; null where the record says nothing or what it says does not fit.
    url                  TEXT,
    host                 TEXT,
    visited_at           BIGINT,
    title                TEXT,
    domain               TEXT,
    tab_id               BIGINT,
    ended_at             BIGINT,
    duration_ms          BIGINT,
    active_duration_ms   BIGINT,
    is_active            BOOLEAN,
    engagement_rate      DOUBLE PRECISION,
    last_heartbeat       BIGINT,
    source_page_visit_id TEXT COLLATE "C",
    category             TEXT,
    category_confidence  DOUBLE PRECISION,
    category_method      TEXT,
    anonymous_client_id  TEXT,
    UNIQUE (user_id, source, id)
);
CREATE INDEX page_visits_feed ON page_visits (user_id, version, id, source);
CREATE INDEX page_visits_time ON page_visits (user_id, visited_at);
CREATE INDEX page_visits_host ON page_visits (user_id, host);

CREATE TABLE tab_aggregates (
    row_id                BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id               UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    source                TEXT COLLATE "C" NOT NULL,
    id                    TEXT COLLATE "C" NOT NULL,
    version               BIGINT NOT NULL,
    device_id             TEXT,
    captured_at           BIGINT,
    received_at           BIGINT NOT NULL,
    updated_at            BIGINT NOT NULL,
    checksum              BYTEA NOT NULL,
    checksum_algorithm    BIGINT NOT NULL REFERENCES checksum_algorithms,
    -- What decides between versions: see store/decide.rs.
    revision              BIGINT NOT NULL,
    complete_1            DOUBLE PRECISION,
    complete_2            DOUBLE PRECISION,
    complete_3            DOUBLE PRECISION,
    record                TEXT NOT NULL,
    -- The visit as the record names it, and its row once that is here.
    page_visit_id         TEXT COLLATE "C",
    page_visit_row        BIGINT REFERENCES page_visits ON DELETE SET NULL,
    tab_id                BIGINT,
    started_at            BIGINT,
    last_active_at        BIGINT,
    total_active_ms       BIGINT,
    page_count            BIGINT,
    current_url           TEXT,
    current_host          TEXT,
    current_domain        TEXT,
    domain_durations      TEXT,
    -- JSON array of every domain the record mentions.
    domains               TEXT NOT NULL,
    total_time_seconds    DOUBLE PRECISION,
    active_time_seconds   DOUBLE PRECISION,
    scroll_depth_percent  DOUBLE PRECISION,
    closed_at             BIGINT,
    is_open               BOOLEAN,
    anonymous_client_id   TEXT,
    UNIQUE (user_id, source, id)
);
CREATE INDEX tab_aggregates_feed ON tab_aggregates (user_id, version, id, source);
CREATE INDEX tab_aggregates_time ON tab_aggregates (user_id, started_at);
CREATE INDEX tab_aggregates_unlinked ON tab_aggregates (user_id, source, page_visit_id)
    WHERE page_visit_row IS NULL AND page_visit_id IS NOT NULL;
CREATE INDEX tab_aggregates_visit ON tab_aggregates (page_visit_row) WHERE page_visit_row IS NOT NULL;

-- What was deleted: its identity stays, so that it is not stored again and other devices learn of it.
CREATE TABLE tombstones (
    user_id            UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    kind               BIGINT NOT NULL REFERENCES kinds,
    source             TEXT COLLATE "C" NOT NULL,
    id                 TEXT COLLATE "C" NOT NULL,
    version            BIGINT NOT NULL,
    device_id          TEXT,
    captured_at        BIGINT,
    received_at        BIGINT NOT NULL,
    deleted_at         BIGINT NOT NULL,
    checksum           BYTEA NOT NULL,
    checksum_algorithm BIGINT NOT NULL REFERENCES checksum_algorithms,
    PRIMARY KEY (user_id, kind, source, id)
);
CREATE INDEX tombstones_feed ON tombstones (user_id, version, kind, id, source);

-- Answers to be replayed, written in the transaction of the data they speak of.
CREATE TABLE idempotency_keys (
    user_id     UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    key         TEXT NOT NULL,
    body_hash   BYTEA NOT NULL,
    answer      TEXT NOT NULL,
    answered_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, method, path, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (answered_at);
