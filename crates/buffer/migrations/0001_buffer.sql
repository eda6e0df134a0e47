-- The buffer's first schema. docs/buffer.md explains it.
--
-- Kinds, states and queues are small tables with foreign keys, not CHECK lists: a later version adds rows,
-- while hosts of an earlier one go on writing. Times are milliseconds since the epoch.

-- What is known of the whole buffer: who is signed in, the oldest program that may write, …
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE kind (kind INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO kind VALUES (1, 'pageVisit'), (2, 'tabAggregate');

CREATE TABLE state (state INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO state VALUES (1, 'waiting'), (2, 'failed'), (3, 'failed_kept');

-- What a batch, a failure or a run can refer to: (queue, seq). A table of operations will be a second queue.
CREATE TABLE queue (queue INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO queue VALUES (1, 'record');

CREATE TABLE account (
  account  INTEGER PRIMARY KEY,
  ref      TEXT NOT NULL UNIQUE,
  backend  TEXT NOT NULL,
  user_id  TEXT NOT NULL,
  email    TEXT NOT NULL,
  added_at INTEGER NOT NULL,
  UNIQUE (backend, user_id)
) STRICT;

-- One browser profile: the caller and its profile id.
CREATE TABLE source (
  source     INTEGER PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  profile_id TEXT NOT NULL,
  browser    TEXT NOT NULL DEFAULT '',
  client     TEXT NOT NULL DEFAULT '',
  seen_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE record (
  -- AUTOINCREMENT: an emptied queue must not hand out a number again, or a late confirmation of the old
  -- record would delete the new one.
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  kind       INTEGER NOT NULL REFERENCES kind,
  source     INTEGER NOT NULL REFERENCES source,
  id         TEXT    NOT NULL,
  id_derived INTEGER NOT NULL,
  account    INTEGER REFERENCES account,
  -- Where account is null: the ref that may claim the row without asking; null there: the first to sign in.
  claim_ref  TEXT,
  revision   INTEGER NOT NULL,
  text       TEXT    NOT NULL,
  bytes      INTEGER NOT NULL,
  checksum   INTEGER NOT NULL,
  digest     BLOB    NOT NULL,
  complete_1 REAL,
  complete_2 REAL,
  complete_3 REAL,
  -- The tab's life, for linking an aggregate to its visit.
  tab        TEXT,
  start_time INTEGER,
  last_time  INTEGER,
  state      INTEGER NOT NULL REFERENCES state,
  held_until INTEGER NOT NULL DEFAULT 0,
  attempts   INTEGER NOT NULL DEFAULT 0,
  captured_at INTEGER NOT NULL,
  UNIQUE (source, kind, id)
) STRICT;
CREATE INDEX record_waiting ON record (account, kind, seq) WHERE state = 1;
CREATE INDEX record_set_aside ON record (state, seq) WHERE state > 1;

-- Why a record is set aside: the typed reason as JSON, its code beside it for filters.
CREATE TABLE failure (
  queue    INTEGER NOT NULL REFERENCES queue,
  seq      INTEGER NOT NULL,
  code     TEXT    NOT NULL,
  reason   TEXT    NOT NULL,
  first_at INTEGER NOT NULL,
  last_at  INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  PRIMARY KEY (queue, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX failure_code ON failure (code, seq);

-- The batch that was, or is about to be, sent: its very bytes, so that a retry says the same.
CREATE TABLE batch (
  batch    INTEGER PRIMARY KEY AUTOINCREMENT,
  account  INTEGER NOT NULL UNIQUE REFERENCES account,
  key      TEXT    NOT NULL UNIQUE,
  body     BLOB    NOT NULL,
  made_at  INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE batch_item (
  batch    INTEGER NOT NULL REFERENCES batch ON DELETE CASCADE,
  position INTEGER NOT NULL,
  queue    INTEGER NOT NULL REFERENCES queue,
  seq      INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  kind     INTEGER NOT NULL REFERENCES kind,
  PRIMARY KEY (batch, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_item_record ON batch_item (queue, seq);

-- What was confirmed in the last days: the same content is not sent twice, a new one gets a higher revision.
CREATE TABLE delivered (
  source   INTEGER NOT NULL REFERENCES source,
  kind     INTEGER NOT NULL REFERENCES kind,
  id       TEXT    NOT NULL,
  digest   BLOB    NOT NULL,
  revision INTEGER NOT NULL,
  account  INTEGER NOT NULL REFERENCES account,
  at       INTEGER NOT NULL,
  PRIMARY KEY (source, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivered_at ON delivered (at);

-- Which visit a tab was on, and when: outlives the visit's delivery, because the tab's aggregate comes later.
CREATE TABLE tab_visit (
  source     INTEGER NOT NULL REFERENCES source,
  tab        TEXT    NOT NULL,
  visited_at INTEGER NOT NULL,
  id         TEXT    NOT NULL,
  noted_at   INTEGER NOT NULL,
  PRIMARY KEY (source, tab, visited_at, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tab_visit_noted ON tab_visit (noted_at);

CREATE TABLE run (
  run        INTEGER PRIMARY KEY AUTOINCREMENT,
  account    INTEGER NOT NULL REFERENCES account,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER,
  batches    INTEGER NOT NULL DEFAULT 0,
  sent       INTEGER NOT NULL DEFAULT 0,
  failed     INTEGER NOT NULL DEFAULT 0,
  outcome    TEXT    NOT NULL,
  why        TEXT
) STRICT;

-- Kept by the triggers below, so that a count never scans. account 0: unclaimed.
CREATE TABLE counter (
  account INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  state   INTEGER NOT NULL,
  n       INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  PRIMARY KEY (account, kind, state)
) STRICT, WITHOUT ROWID;

-- A quarter of an hour each: what came, what went, what waited at its end.
CREATE TABLE series (
  bucket    INTEGER PRIMARY KEY,
  stored    INTEGER NOT NULL DEFAULT 0,
  confirmed INTEGER NOT NULL DEFAULT 0,
  failed    INTEGER NOT NULL DEFAULT 0,
  waiting   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER record_counted AFTER INSERT ON record BEGIN
  INSERT INTO counter VALUES (ifnull(new.account, 0), new.kind, new.state, 1, new.bytes)
  ON CONFLICT DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER record_uncounted AFTER DELETE ON record BEGIN
  UPDATE counter SET n = n - 1, bytes = bytes - old.bytes
  WHERE account = ifnull(old.account, 0) AND kind = old.kind AND state = old.state;
END;
CREATE TRIGGER record_recounted AFTER UPDATE OF account, state, bytes ON record BEGIN
  UPDATE counter SET n = n - 1, bytes = bytes - old.bytes
  WHERE account = ifnull(old.account, 0) AND kind = old.kind AND state = old.state;
  INSERT INTO counter VALUES (ifnull(new.account, 0), new.kind, new.state, 1, new.bytes)
  ON CONFLICT DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
END;
-- A record that leaves takes its failure with it.
CREATE TRIGGER record_failure_gone AFTER DELETE ON record BEGIN
  DELETE FROM failure WHERE queue = 1 AND seq = old.seq;
END;
