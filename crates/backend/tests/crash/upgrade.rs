//! Killed while a database of the first schema, with people and records in it, is brought up to date: the next start
//! finishes it, and nobody and nothing is missing. `HEYHO_KILLS`, else 6.

use crate::kill::kills;
use crate::program::{Program, count};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use std::collections::BTreeMap;
use std::time::Duration;

const PEOPLE: usize = 20_000;
const VISITS: usize = 20_000;

/// Numbers in both dialects: as a table `n (n)`.
const NUMBERS: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {})";

fn filling(uuid: &str, bytes: &str) -> [String; 4] {
    let numbers = |most: usize| NUMBERS.replace("{}", &most.to_string());
    [
        format!(
            "{} INSERT INTO users (id, email, password_hash, created_at)
             SELECT {uuid}, 'p' || n || '@example.org', 'x', 1000 + n FROM n",
            numbers(PEOPLE)
        ),
        "INSERT INTO feeds (user_id, version, epoch) SELECT id, 1, 'e' FROM users".to_owned(),
        "INSERT INTO sessions (id, user_id, created_at, expires_at)
         SELECT id, id, 1, 4000000000000 FROM users".to_owned(),
        format!(
            "{} INSERT INTO page_visits (user_id, source, id, version, received_at, updated_at, checksum,
                                         checksum_algorithm, revision, record)
             SELECT (SELECT id FROM users WHERE email = 'p1@example.org'), 's', 'v' || n, 1, 1, 1, {bytes}, 1, 0, '{{}}' FROM n",
            numbers(VISITS)
        ),
    ]
}

const LEFT: &str = "SELECT (SELECT count(*) FROM users WHERE confirmed_at = created_at) * 1000000
    + (SELECT count(*) FROM page_visits) + (SELECT count(*) FROM sessions) * 1000";

async fn killed_while_it_is_brought_up_to_date(
    filled: impl AsyncFn() -> Option<(tempfile::TempDir, String)>,
) {
    let mut found = BTreeMap::new();
    for kill in 0..kills() as u64 {
        let Some((_folder, url)) = filled().await else { return };
        Program::start_and_kill(&url, Duration::from_millis(15 + kill * 17 % 90)).await;
        *found.entry(count(&url, "SELECT count(*) FROM _sqlx_migrations").await).or_insert(0) += 1;
        let program = Program::start(&url).await;
        let left = (PEOPLE * 1_000_000 + VISITS + PEOPLE * 1_000) as i64;
        assert_eq!(count(&url, LEFT).await, left, "kill {kill}");
        let token = program.client().register().await;
        assert_eq!(program.client().stored(&token).await.len(), 0);
    }
    println!("figures: {} kills while it was brought up to date; schemas found: {found:?}", kills());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filled_sqlite_database_is_brought_up_to_date_whatever_happens() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&first).create_if_missing(true);
    let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::migrate!("migrations/sqlite").run_to(1, &mut db).await.unwrap();
    for sql in filling("randomblob(16)", "x'00'") {
        db.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }
    db.close().await.unwrap();
    killed_while_it_is_brought_up_to_date(async || {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("heyho.db");
        std::fs::copy(&first, &copy).unwrap();
        let url = format!("sqlite://{}", copy.display());
        Some((folder, url))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filled_postgres_database_is_brought_up_to_date_whatever_happens() {
    killed_while_it_is_brought_up_to_date(async || {
        let url = crate::postgres::new_database().await?;
        let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
        sqlx::migrate!("migrations/postgres").run_to(1, &mut db).await.unwrap();
        for sql in filling("gen_random_uuid()", "'\\x00'") {
            db.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
        }
        db.close().await.unwrap();
        Some((tempfile::tempdir().unwrap(), url))
    })
    .await;
}
