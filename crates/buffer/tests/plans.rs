//! Every statement of the paths that are walked all the time (arrivals, the status, the next batch, what came
//! of it, a page of a list) finds its rows by an index: SQLite is asked for its plan of each statement that
//! was really run. Plans here do not depend on how many rows there are: nothing is ever analysed.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod support;

use heyho_buffer::*;
use heyho_records::reason::Reason;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{NOW, append, confirm, export, oldest, source, visit, who};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// These hold a few rows, however much waits: one for each browser profile, account, count, quarter of an
/// hour, run (1,000), anchor (5,000).
const SMALL: &[&str] = &[
    "source", "s", "account", "a", "counter", "c", "meta", "m", "kind", "state", "queue", "series",
    "samples", "run", "anchor", "batch",
];

/// An index, as far as all rows of an account or of a browser profile have the same there: whoever finds rows by so much of
/// it looks at each of them, unless it ends at a limit in the order of the index.
const SHARED: &[&str] = &[
    "(account=?)",
    "(account=? AND kind=?)",
    "(source=?)",
    "(source=? AND kind=?)",
    "(state=?)",
    "(queue=?)",
];

/// The statements that sqlx says it ran.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeSet<String>>>);

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            let mut said = Said::default();
            event.record(&mut said);
            let whole = if said.statement.trim().is_empty() { said.summary } else { said.statement };
            self.0.lock().unwrap().insert(whole.trim().to_owned());
        }
    }
}

#[derive(Default)]
struct Said {
    /// The whole of a short one; of a long one its first words.
    summary: String,
    statement: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.statement = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

#[tokio::test]
async fn every_statement_of_the_busy_paths_finds_its_rows_by_an_index() {
    let statements = Statements::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(statements.clone())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap().with_cap(None);
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;

    // What is asked once, at the start, may look at more.
    statements.0.lock().unwrap().clear();
    walk(&buffer, &account).await;
    let run = statements.0.lock().unwrap().clone();
    assert!(run.len() > 40, "only {} statements were seen", run.len());
    // The lists that people look at are among them.
    for part in ["WHERE r.state = 1 AND r.seq > ?", "r.state > 1"] {
        assert!(run.iter().any(|statement| statement.contains(part)), "{part}");
    }
    buffer.close().await;

    let bad = judge(&path, &run).await;
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
    // The judge can see.
    let planted = [
        "SELECT count(*) FROM record",
        "SELECT seq FROM record WHERE state = 1 AND tab = 'x'",
        "SELECT seq FROM record WHERE state = 1 AND account = 1 AND seq IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)",
    ];
    assert_eq!(judge(&path, &planted.map(str::to_owned).into()).await.len(), planted.len());
}

/// The busy paths, each at least once with rows to find.
async fn walk(buffer: &Buffer, account: &Account) {
    let visits: Vec<String> = (0..300).map(|n| visit(&format!("v{n}"), "")).collect();
    append(buffer, &visits).await.unwrap();
    append(buffer, &[visit("v1", r#","endedAt":9"#), r#"{"id":"bad"}"#.to_owned()]).await.unwrap();
    let aggregate = r#"{"tabId":7,"startTime":1,"lastActiveTime":9,"isOpen":false}"#;
    let arrival = Arrival::read(Some(account.r#ref.clone()), &[], &[aggregate]);
    buffer.append(&source("p1"), &[arrival], 60_000, NOW).await.unwrap();

    for keep_anchors in [true, false] {
        let limits = Limits { page_visits: 20, tab_aggregates: 20, bytes: 1 << 20 };
        let rows = buffer.oldest(account.id, limits, &[1, 2], NOW + 60_000).await.unwrap();
        let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        buffer.waiting(account.id, &seqs).await.unwrap();
        assert_eq!(buffer.sendable(account.id, &seqs, NOW + 60_000).await.unwrap().len(), rows.len());
        let visits = rows.iter().map(|row| (row.source.clone(), row.id.clone())).collect();
        assert!(!buffer.waiting_visits(account.id, &visits).await.unwrap().is_empty());
        let mut settlement = confirm(&rows);
        let items = settlement.confirm.clone();
        let key = format!("key {keep_anchors}");
        let new = NewBatch { key: key.clone(), body: vec![1], items };
        let batch = buffer.begin_batch(account.id, &new, NOW).await.unwrap();
        assert_eq!(buffer.in_flight(account.id).await.unwrap().unwrap().key, key);
        buffer.attempts(&seqs).await.unwrap();
        let rekey = Settlement { fate: Fate::Rekey("another".to_owned() + &key), ..Settlement::default() };
        buffer.settle(Some(batch), &rekey, NOW).await.unwrap();
        let (aside, counted) = (settlement.confirm.remove(0), settlement.confirm.remove(0));
        settlement.set_aside.push((aside, Reason::Damaged { message: "m".to_owned() }));
        settlement.count.push(counted);
        settlement.keep_anchors = keep_anchors;
        settlement.forget_anchors.push(1);
        buffer.settle(Some(batch), &settlement, NOW).await.unwrap();
        buffer.anchors(account.id, &[1, 2]).await.unwrap();
    }
    // What was confirmed, and what failed, arrives again.
    append(buffer, &visits).await.unwrap();
    assert!(!oldest(buffer, account).await.is_empty());

    buffer.totals(Some(account.id), NOW).await.unwrap();
    buffer.status(Duration::from_secs(300), NOW).await.unwrap();
    buffer.offline_status(Duration::from_secs(300), NOW).await.unwrap();
    buffer.problem().await.unwrap();
    buffer.sources().await.unwrap();
    buffer.runs(account.id, 10).await.unwrap();
    let run = RunRecord {
        started_at: NOW,
        ended_at: Some(NOW),
        batches: 1,
        sent: 1,
        failed: 0,
        outcome: "done".to_owned(),
        why: None,
    };
    buffer.add_run(account.id, &run).await.unwrap();
    buffer.sample(NOW).await.unwrap();
    buffer.timeline(NOW - 86_400_000, NOW).await.unwrap();
    buffer.waiting_page(0, 50, None, NOW).await.unwrap();
    buffer.waiting_page(100, 50, Some("example v2"), NOW).await.unwrap();
    buffer.failed(0, 50, None).await.unwrap();
    buffer.failed(0, 50, Some("damaged")).await.unwrap();
    buffer.failed_one(1).await.unwrap();
    assert!(!export(buffer).await.is_empty());
    buffer.set_meta("k", "v").await.unwrap();
    buffer.meta("k").await.unwrap();
    buffer.signed_in().await.unwrap();
}

/// Where a statement would look at every row of a table that grows, or sort what it finds there.
async fn judge(path: &Path, statements: &BTreeSet<String>) -> Vec<String> {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let mut bad = Vec::new();
    for statement in statements {
        if statement.starts_with("PRAGMA") || ["COMMIT", "ROLLBACK"].contains(&statement.as_str()) {
            continue;
        }
        if statement.starts_with("BEGIN") {
            continue;
        }
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let plan = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
        for step in &plan {
            let detail: String = step.try_get("detail").unwrap();
            let scanned = detail.strip_prefix("SCAN ").map(|rest| rest.split(' ').next().unwrap_or(rest));
            let scans = scanned.is_some_and(|table| {
                !SMALL.contains(&table)
                    && !table.starts_with("pragma_")
                    && !table.starts_with('(')
                    && !detail.contains("CONSTANT ROW")
                    && !detail.ends_with("VALUES CLAUSE")
            });
            // Rows that were asked for by their numbers are as many as were asked for.
            let records = statement.contains(" record ") && !statement.contains("seq IN (");
            let sorts = records && detail.contains("TEMP B-TREE");
            // What would follow if the number of a browser profile were written anew, which it never is.
            let referring = statement.starts_with("INSERT INTO source ");
            let shared = detail.strip_prefix("SEARCH ").is_some_and(|rest| {
                !referring
                    && !SMALL.contains(&rest.split(' ').next().unwrap_or(rest))
                    && SHARED.iter().any(|shared| rest.ends_with(shared))
            });
            let limited = statement.rsplit_once(" LIMIT ").is_some_and(|(_, most)| most.len() < 5);
            if scans || sorts || (shared && !limited) || detail.contains("AUTOMATIC") {
                let start: String = statement.chars().take(400).collect();
                bad.push(format!("{detail}\n    in {start}"));
            }
        }
    }
    bad
}
