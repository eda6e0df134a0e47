//! What an erasure costs by the record is the same however much there is: counted in steps of SQLite, on every connection.
//! Control: `walks-from-the-start`.

use crate::{Arrival, Buffer, SignedIn, Source};
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const EVERY: i32 = 50;

/// From now on, on the connection that writes and on those that read.
async fn count_steps(buffer: &Buffer) -> Arc<AtomicU64> {
    let steps = Arc::new(AtomicU64::new(0));
    let count = || {
        let steps = steps.clone();
        move || steps.fetch_add(EVERY as u64, Ordering::Relaxed) < u64::MAX
    };
    let mut writing = buffer.write().await.unwrap();
    writing.lock_handle().await.unwrap().set_progress_handler(EVERY, count());
    let mut reading = Vec::new();
    while buffer.pool.size() < buffer.pool.options().get_max_connections() || buffer.pool.num_idle() > 0 {
        let mut connection = buffer.pool.acquire().await.unwrap();
        connection.lock_handle().await.unwrap().set_progress_handler(EVERY, count());
        reading.push(connection);
    }
    writing.commit().await.unwrap();
    steps
}

/// So many records each of an account and of another, with their tabs, and as many links to visits that were delivered.
async fn filled(dir: &std::path::Path, many: u64) -> Buffer {
    let buffer = Buffer::open(&dir.join("buffer.db")).await.unwrap();
    let who = |user: &str| SignedIn {
        backend: "http://b".into(),
        user_id: user.into(),
        email: format!("{user}@x"),
        claim_others: false,
    };
    let source =
        Source { name: "e#p".into(), profile_id: "p".into(), browser: String::new(), client: String::new() };
    for user in ["1", "2"] {
        buffer.sign_in(&who(user), 1).await.unwrap();
        let visit = format!(r#"{{"id":"{user}","url":"http://a/","startedAt":1,"tabId":7}}"#);
        buffer.append(&source, &[Arrival::read(None, &[&visit], &[])], 0, 1).await.unwrap();
    }
    let numbers =
        format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {many})");
    let mut tx = buffer.write().await.unwrap();
    for fill in [
        "INSERT INTO record (kind, source, id, id_derived, account, claim_ref, revision, text, bytes, checksum, digest, \
         tab, state, captured_at) SELECT kind, source, id || n, 0, account, NULL, 1, text, bytes, checksum, digest, \
         n % 90, state, 1 FROM n, record WHERE seq <= 2",
        "INSERT INTO tab_visit SELECT source, tab, seq, id, 1 FROM record, (SELECT max(n) FROM n) WHERE seq > 2",
        "INSERT INTO tab_visit SELECT 1, n % 90, n, 'gone' || n, 1 FROM n",
    ] {
        sqlx::query(AssertSqlSafe(format!("{numbers} {fill}"))).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    buffer
}

#[tokio::test]
async fn what_is_erased_costs_by_the_record_the_same_however_much_there_is() {
    for what in ["an account", "everything"] {
        let mut steps = Vec::new();
        for many in [2_000, 8_000] {
            let dir = tempfile::tempdir().unwrap();
            let buffer = filled(dir.path(), many).await;
            let counted = count_steps(&buffer).await;
            let (erased, expected) = match what {
                "an account" => (buffer.discard_account("1@x").await, many + 1),
                _ => (buffer.erase_everything().await, 2 * (many + 1)),
            };
            assert_eq!(erased.unwrap().waiting, expected, "{what}");
            steps.push(counted.load(Ordering::Relaxed));
            buffer.close().await;
        }
        let [few, many] = steps[..] else { panic!() };
        assert!(few > 10_000 && many < few * 5, "{what}: {few} steps, and {many} for four times as much");
    }
}
