-- For backends in baseline mode (docs/sync.md): they tie a tab's aggregate to a visit in the same request, so
-- a visit is kept after its confirmation until its tab's life is over.

INSERT INTO queue VALUES (2, 'anchor');

CREATE TABLE anchor (
  anchor     INTEGER PRIMARY KEY AUTOINCREMENT,
  account    INTEGER NOT NULL REFERENCES account,
  source     INTEGER NOT NULL REFERENCES source,
  tab        TEXT    NOT NULL,
  visited_at INTEGER NOT NULL,
  id         TEXT    NOT NULL,
  text       TEXT    NOT NULL,
  kept_at    INTEGER NOT NULL,
  UNIQUE (source, id)
) STRICT;
CREATE INDEX anchor_tab ON anchor (source, tab, visited_at);

-- When each life of a tab began: a tab id comes again after a restart of the browser.
CREATE TABLE tab_life (
  source     INTEGER NOT NULL REFERENCES source,
  tab        TEXT    NOT NULL,
  start_time INTEGER NOT NULL,
  noted_at   INTEGER NOT NULL,
  PRIMARY KEY (source, tab, start_time)
) STRICT, WITHOUT ROWID;
CREATE INDEX tab_life_noted ON tab_life (noted_at);
