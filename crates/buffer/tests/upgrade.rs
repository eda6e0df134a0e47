//! Programs of different versions on one file: host and agent of N−1, N and N+1, in every pair.
//!
//! N is this code. N−1 is schema 3, as its host and its agent used it: their statements, recorded below to the
//! letter from the last version before schema 4, sent over a connection of their own. N+1 is what a later
//! version may do to the file under the rules of CONTRIBUTING.md: a migration more, a column with a default, a
//! table, a row in the small tables. What is not modelled: an older program's own reading of answers, and its
//! view of records (a record is text, and was read the same way).
//!
//! The words between agent and its clients have a version of their own: `heyho-local`, `socket`.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod support;

use heyho_buffer::*;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Row, SqliteConnection};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use support::*;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// The schema of N−1.
const BEFORE: i64 = 3;

/// A connection as every version opens it.
async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON");
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// The file as a version with this schema made it.
async fn made_by(schema: i64, path: &Path) -> SqliteConnection {
    let mut connection = connect(path).await;
    sqlx::query("PRAGMA auto_vacuum = INCREMENTAL").execute(&mut connection).await.unwrap();
    let wal = SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Wal);
    SqliteConnection::connect_with(&wal).await.unwrap().close().await.unwrap();
    let migrations = MIGRATIONS.iter().filter(|m| m.version <= schema).cloned().collect();
    let upto = Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT };
    upto.run_direct(None, &mut connection, false).await.unwrap();
    connection
}

/// The host of N−1: one visit, with the statements of its append.
async fn old_append(host: &mut SqliteConnection, id: &str) -> i64 {
    let text = visit(id, "");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *host).await.unwrap();
    let source: i64 = sqlx::query_scalar(
        "INSERT INTO source (name, profile_id, browser, client, seen_at) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, browser = excluded.browser, \
         client = excluded.client RETURNING source",
    )
    .bind(source("p1").name)
    .bind("p1")
    .bind("Chromium")
    .bind("test 1")
    .bind(NOW)
    .fetch_one(&mut *host)
    .await
    .unwrap();
    let session = sqlx::query(
        "SELECT m.key, a.account, a.ref FROM meta m JOIN account a ON a.account = CAST(m.value AS INTEGER) \
         WHERE m.key IN ('signed_in', 'last_signed_in')",
    )
    .fetch_all(&mut *host)
    .await
    .unwrap();
    let account: Option<i64> = session.iter().find(|r| r.get::<&str, _>(0) == "signed_in").map(|r| r.get(1));
    let record = heyho_records::Record::read(heyho_records::Kind::PageVisit, &text).unwrap();
    let seq: i64 = sqlx::query_scalar(
        "INSERT INTO record (kind, source, id, id_derived, account, claim_ref, revision, text, bytes, \
         checksum, digest, complete_1, complete_2, complete_3, tab, start_time, last_time, state, \
         held_until, captured_at) \
         VALUES (1, ?, ?, 0, ?, NULL, 1, ?, ?, ?, ?, NULL, NULL, NULL, '7', NULL, NULL, 1, 0, ?) RETURNING seq",
    )
    .bind(source)
    .bind(id)
    .bind(account)
    .bind(&text)
    .bind(text.len() as i64)
    .bind(i64::from(crc32fast::hash(text.as_bytes())))
    .bind(&record.digest[..])
    .bind(NOW)
    .fetch_one(&mut *host)
    .await
    .unwrap();
    for statement in [
        "INSERT OR IGNORE INTO tab_visit (source, tab, visited_at, id, noted_at) VALUES (1, '7', 5, 'x', 0)",
        "INSERT OR IGNORE INTO tab_life (source, tab, start_time, noted_at) VALUES (1, '7', 1, 0)",
        "INSERT INTO series (bucket, stored, confirmed, failed, waiting) \
         VALUES (1, 1, 0, 0, (SELECT ifnull(sum(n), 0) FROM counter WHERE state = 1)) \
         ON CONFLICT DO UPDATE SET stored = stored + excluded.stored, \
         confirmed = confirmed + excluded.confirmed, failed = failed + excluded.failed, \
         waiting = excluded.waiting",
        "COMMIT",
    ] {
        sqlx::query(statement).execute(&mut *host).await.unwrap();
    }
    seq
}

/// The agent of N−1: takes the oldest, persists its batch, and settles it as confirmed. Says which ids it took.
async fn old_deliver(agent: &mut SqliteConnection, account: i64) -> Vec<String> {
    let rows = sqlx::query(
        "SELECT r.seq, r.revision, r.kind, r.id, r.id_derived, s.name, r.text, r.checksum, \
         r.attempts, r.captured_at, CASE WHEN r.kind = 2 THEN (SELECT v.id FROM tab_visit v \
           WHERE v.source = r.source AND v.tab = r.tab AND v.visited_at BETWEEN r.start_time AND r.last_time \
           ORDER BY v.visited_at DESC LIMIT 1) END, r.tab, \
         CASE WHEN r.kind = 2 THEN r.start_time ELSE (SELECT max(l.start_time) FROM tab_life l \
           JOIN tab_visit v ON v.source = l.source AND v.tab = l.tab AND v.visited_at >= l.start_time \
           WHERE l.source = r.source AND l.tab = r.tab AND v.id = r.id) END, \
         CASE WHEN r.kind = 2 THEN (SELECT a.anchor FROM anchor a \
           WHERE a.source = r.source AND a.tab = r.tab AND a.visited_at BETWEEN r.start_time AND r.last_time \
           ORDER BY a.visited_at DESC LIMIT 1) END \
         FROM record r JOIN source s USING (source) \
         WHERE r.state = 1 AND r.account = ? AND r.kind = 1 AND r.held_until <= ? ORDER BY r.seq LIMIT 100",
    )
    .bind(account)
    .bind(NOW)
    .fetch_all(&mut *agent)
    .await
    .unwrap();
    let mut ids = Vec::new();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *agent).await.unwrap();
    let batch: i64 = sqlx::query_scalar(
        "INSERT INTO batch (account, key, body, made_at) VALUES (?, 'old', x'00', 0) RETURNING batch",
    )
    .bind(account)
    .fetch_one(&mut *agent)
    .await
    .unwrap();
    for (position, row) in rows.iter().enumerate() {
        let (seq, revision, text): (i64, i64, String) = (row.get(0), row.get(1), row.get(6));
        assert_eq!(row.get::<i64, _>(7), i64::from(crc32fast::hash(text.as_bytes())));
        ids.push(row.get(3));
        sqlx::query(
            "INSERT INTO batch_item (batch, position, queue, seq, revision, kind) VALUES (?, ?, 1, ?, ?, 1)",
        )
        .bind(batch)
        .bind(position as i64)
        .bind(seq)
        .bind(revision)
        .execute(&mut *agent)
        .await
        .unwrap();
        for statement in [
            "INSERT OR REPLACE INTO delivered (source, kind, id, digest, revision, account, at) \
             SELECT source, kind, id, digest, revision, account, 1700000000000 FROM record \
             WHERE account IS NOT NULL AND (seq, revision) IN ((?1, ?2))",
            "DELETE FROM record WHERE (seq, revision) IN ((?1, ?2))",
        ] {
            sqlx::query(statement).bind(seq).bind(revision).execute(&mut *agent).await.unwrap();
        }
    }
    sqlx::query("DELETE FROM batch WHERE batch = ?").bind(batch).execute(&mut *agent).await.unwrap();
    sqlx::query("COMMIT").execute(&mut *agent).await.unwrap();
    ids
}

/// Whether a program with this schema, by its own rule, may write to the file.
async fn may_write(connection: &mut SqliteConnection, schema: i64) -> bool {
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let oldest: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'oldest_writer'")
        .fetch_optional(connection)
        .await
        .unwrap();
    newest <= schema || oldest.is_some_and(|oldest| oldest.parse::<i64>().unwrap() <= schema)
}

/// What a later version does to the file.
async fn later(path: &Path, oldest_writer: i64) {
    let mut later = connect(path).await;
    let newest = MIGRATIONS.iter().map(|m| m.version).max().unwrap();
    for statement in [
        "ALTER TABLE record ADD COLUMN shade TEXT NOT NULL DEFAULT 'plain'",
        "CREATE TABLE operation (operation INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL) STRICT",
        "INSERT INTO kind VALUES (3, 'label')",
        "INSERT INTO state VALUES (4, 'merging')",
        "INSERT INTO queue VALUES (3, 'operation')",
        "CREATE INDEX operation_what ON operation (what)",
    ] {
        sqlx::query(statement).execute(&mut later).await.unwrap();
    }
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (?, 'later', 1, x'00', 0)",
    )
    .bind(newest + 1)
    .execute(&mut later)
    .await
    .unwrap();
    sqlx::query("INSERT OR REPLACE INTO meta VALUES ('oldest_writer', ?)")
        .bind(oldest_writer.to_string())
        .execute(&mut later)
        .await
        .unwrap();
    later.close().await.unwrap();
}

fn ids(rows: &[Waiting]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

fn path() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    (dir, path)
}

#[tokio::test]
async fn an_old_host_goes_on_under_a_new_agent() {
    let (_dir, path) = path();
    let mut host = made_by(BEFORE, &path).await;
    old_append(&mut host, "before").await;
    // The new agent comes while the old host has the file open, and brings the schema up to date.
    let (agent, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert_eq!(recovery, None);
    let account = agent.sign_in(&who("1"), NOW).await.unwrap().0;
    old_append(&mut host, "after").await;
    let rows = oldest(&agent, &account).await;
    assert_eq!(ids(&rows), ["before", "after"]);
    assert!(rows.iter().all(|row| row.intact));
    assert_eq!(agent.totals(Some(account.id), NOW).await.unwrap().waiting(), 2);
    // It changes a record that is in flight, by its own statement: it stays.
    sqlx::query(
        "UPDATE record SET revision = 2, text = text || ' ', bytes = bytes + 1, checksum = 0, digest = x'00', \
         complete_1 = NULL, complete_2 = NULL, complete_3 = NULL, tab = '7', start_time = NULL, \
         last_time = NULL, attempts = 0 WHERE seq = ?",
    )
    .bind(rows[0].seq)
    .execute(&mut host)
    .await
    .unwrap();
    agent.settle(None, &confirm(&rows), NOW).await.unwrap();
    let left = oldest(&agent, &account).await;
    assert_eq!((ids(&left), left[0].revision), (vec!["before"], 2));
    // And an old host that is started now may write too, by its own rule.
    assert!(may_write(&mut host, BEFORE).await);
}

#[tokio::test]
async fn a_new_host_brings_the_schema_up_to_date_under_an_old_agent_which_goes_on() {
    let (dir, path) = path();
    let mut agent = made_by(BEFORE, &path).await;
    old_append(&mut agent, "old").await;
    let host = Buffer::open(&path).await.unwrap();
    append(&host, &[visit("new", "")]).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("backups")).unwrap().count(), 1);
    for statement in [
        "INSERT INTO account (ref, backend, user_id, email, added_at) VALUES ('r', 'http://b', '1', '1@x', 0)",
        "UPDATE record SET account = 1",
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('signed_in', '1')",
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('last_signed_in', '1')",
    ] {
        sqlx::query(statement).execute(&mut agent).await.unwrap();
    }
    append(&host, &[visit("more", "")]).await.unwrap();
    assert_eq!(old_deliver(&mut agent, 1).await, ["old", "new", "more"]);
    // What the old agent had delivered, the new host knows of.
    let counts = append(&host, &[visit("new", "")]).await.unwrap().counts;
    assert_eq!((counts.stored, counts.unchanged), (0, 1));
    assert_eq!(host.totals(None, NOW).await.unwrap(), Totals { others: Vec::new(), ..Totals::default() });
    assert!(may_write(&mut agent, BEFORE).await);
}

#[tokio::test]
async fn every_schema_there_was_is_brought_up_to_date_with_its_records() {
    for schema in 1..=BEFORE {
        let (dir, path) = path();
        let mut old = made_by(schema, &path).await;
        sqlx::query("INSERT INTO source (name, profile_id, seen_at) VALUES ('s#p', 'p', 0)")
            .execute(&mut old)
            .await
            .unwrap();
        let text = visit("v", "");
        sqlx::query(
            "INSERT INTO record (kind, source, id, id_derived, revision, text, bytes, checksum, digest, state, \
             captured_at) VALUES (1, 1, 'v', 0, 3, ?, 1, ?, x'00', 1, 5)",
        )
        .bind(&text)
        .bind(i64::from(crc32fast::hash(text.as_bytes())))
        .execute(&mut old)
        .await
        .unwrap();
        old.close().await.unwrap();
        let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
        assert_eq!(recovery, None, "schema {schema}");
        let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
        let rows = oldest(&buffer, &account).await;
        assert_eq!((rows.len(), rows[0].revision, rows[0].intact), (1, 3, true));
        let copies: Vec<_> = std::fs::read_dir(dir.path().join("backups")).unwrap().collect();
        assert_eq!(copies.len(), 1, "schema {schema}");
    }
}

#[tokio::test]
async fn a_newer_file_that_says_so_is_written_by_this_host_and_this_agent() {
    let (_dir, path) = path();
    let before = Buffer::open(&path).await.unwrap();
    append(&before, &[visit("before", "")]).await.unwrap();
    later(&path, 1).await;
    // One that was open all the while, one that is started now, and the agent.
    append(&before, &[visit("open", "")]).await.unwrap();
    let host = Buffer::open(&path).await.unwrap();
    append(&host, &[visit("host", "")]).await.unwrap();
    let (agent, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert_eq!(recovery, None, "a schema of a later version is no damage");
    let account = agent.sign_in(&who("1"), NOW).await.unwrap().0;
    // What only the later version understands is left alone, and counted nowhere as something it is not.
    let mut newer = connect(&path).await;
    sqlx::query("UPDATE record SET state = 4, shade = 'new' WHERE id = 'open'")
        .execute(&mut newer)
        .await
        .unwrap();
    // Nor at the next start, which looks at every text and every reason.
    let (again, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert_eq!(recovery, None);
    again.close().await;
    let rows = oldest(&agent, &account).await;
    assert_eq!(ids(&rows), ["before", "host"]);
    agent.settle(None, &confirm(&rows), NOW).await.unwrap();
    let totals = agent.totals(Some(account.id), NOW).await.unwrap();
    assert_eq!((totals.waiting(), totals.failed), (0, 0));
    assert_eq!(
        agent.totals(None, NOW).await.unwrap().others,
        [],
        "who is not signed in has none that failed"
    );
    assert_eq!(export(&agent).await.len(), 1, "it is in no export missing");
    // The same of a kind; and whatever is done to all that failed or waits is not done to them.
    append(&agent, &[visit("label", ""), visit("own", "")]).await.unwrap();
    sqlx::query(
        "UPDATE record SET kind = 3, bytes = bytes, held_until = ?, shade = 'new' WHERE id = 'label'",
    )
    .bind(NOW + 1_000)
    .execute(&mut newer)
    .await
    .unwrap();
    let totals = agent.totals(Some(account.id), NOW).await.unwrap();
    assert_eq!((totals.waiting(), totals.tab_aggregates.records, totals.held), (1, 0, 0));
    let page = agent.waiting_page(0, 10, None, NOW).await.unwrap();
    assert_eq!((page.rows.len(), page.total), (1, 1));
    assert_eq!(export(&agent).await.len(), 2);
    assert_eq!(agent.retry_failed(&FailedQuery::All).await.unwrap(), 0);
    assert_eq!(agent.discard_failed(&FailedQuery::All).await.unwrap(), 0);
    assert_eq!(agent.keep_failed(&FailedQuery::All).await.unwrap(), 0);
    assert_eq!(agent.forget("nowhere.example").await.unwrap().records(), 0);
    assert_eq!(agent.discard_all_waiting().await.unwrap(), 1);
    let shades: Vec<(String, String)> =
        sqlx::query_as("SELECT id, shade FROM record ORDER BY seq").fetch_all(&mut newer).await.unwrap();
    let new = |id: &str| (id.to_owned(), "new".to_owned());
    assert_eq!(shades, [new("open"), new("label")]);
    let state: i64 =
        sqlx::query_scalar("SELECT state FROM record WHERE id = 'open'").fetch_one(&mut newer).await.unwrap();
    assert_eq!(state, 4);
    // But what a user wants kept nowhere is, wherever it stands.
    assert_eq!(agent.forget("a.example").await.unwrap().records(), 2);
    agent.tidy().await.unwrap();
    agent.check_whole().await.unwrap();
}

#[tokio::test]
async fn a_newer_file_that_older_programs_would_break_is_refused_by_both_and_left_untouched() {
    let (dir, path) = path();
    let buffer = Buffer::open(&path).await.unwrap();
    append(&buffer, &[visit("a", "")]).await.unwrap();
    assert!(buffer.checkpoint().await.unwrap());
    buffer.close().await;
    later(&path, 9_999).await;
    let was = std::fs::read(&path).unwrap();
    for _ in 0..2 {
        assert!(matches!(Buffer::open(&path).await, Err(BufferError::SchemaNewer)));
        let agent = Buffer::open_or_recover(&path, NOW).await;
        assert!(matches!(agent, Err(BufferError::SchemaNewer)));
    }
    assert!(std::fs::read(&path).unwrap() == was, "not a byte is different");
    assert!(!dir.path().join("set-aside").exists() && !dir.path().join("backups").exists());
}

#[tokio::test]
async fn who_had_the_file_open_writes_no_more_once_a_newer_program_says_that_it_would_break_it() {
    let (_dir, path) = path();
    let host = Buffer::open(&path).await.unwrap();
    append(&host, &[visit("a", "")]).await.unwrap();
    later(&path, 9_999).await;
    for _ in 0..2 {
        let refused = append(&host, &[visit("b", "")]).await;
        assert!(matches!(refused, Err(BufferError::SchemaNewer)), "{refused:?}");
    }
    assert_eq!(export(&host).await.len(), 1);
}
