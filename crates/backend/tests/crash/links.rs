//! Killed while aggregates are tied to a visit that they all waited for: the next start goes on until none is left.
//!
//! The visit's own batch ties the first of them; what it owes is paid from the start of the program on.

use crate::program::{Program, count};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use std::time::Duration;

/// Many slices, so that a kill finds some done and some not.
const MANY: i64 = 30_000;

const TIED: &str = "SELECT count(*) FROM tab_aggregates WHERE page_visit_row IS NOT NULL";
const OWED: &str = "SELECT count(*) FROM link_debts";

/// So many aggregates of everybody that name a visit which is not there.
fn filling(name: &str, checksum: &str) -> String {
    format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {MANY})
         INSERT INTO tab_aggregates (user_id, source, id, version, received_at, updated_at, checksum, checksum_algorithm,
                                     revision, record, domains, page_visit_id)
         SELECT users.id, '', '{name}' || n, 0, 1, 1, {checksum}, 1, 0, '{{}}', '[]', '{name}' FROM users, n"
    )
}

async fn fill(database: &str, name: &str) {
    if database.starts_with("sqlite") {
        let mut beside = sqlx::SqliteConnection::connect(database).await.unwrap();
        beside.execute(sqlx::raw_sql(AssertSqlSafe(filling(name, "x'00'")))).await.unwrap();
    } else {
        let mut beside = sqlx::PgConnection::connect(database).await.unwrap();
        beside.execute(sqlx::raw_sql(AssertSqlSafe(filling(name, "'\\x00'")))).await.unwrap();
    }
}

async fn killed_while_much_is_tied(database: &str) {
    let mut program = Program::start(database).await;
    let token = program.client().register().await;
    let mut all = 0;
    // now and then all is tied before it can be killed
    for round in 0..10 {
        let name = format!("v{round}");
        fill(database, &name).await;
        let before = count(database, TIED).await;
        let visit = json!({"pageVisits": [{"id": name, "url": "https://example.com/", "visited_at": 1}]});
        let (status, answer) =
            program.client().sync(&token, &name, visit.to_string().into_bytes(), false).await.unwrap();
        assert_eq!((status.as_u16(), answer["version"].as_i64()), (200, Some(round + 1)));
        let first = count(database, TIED).await;
        assert!(first < before + MANY && count(database, OWED).await == 1, "all at once");
        program.kill_and_start().await;
        until_tied(database, first + 1).await;
        program.kill_and_start().await;
        all += MANY;
        let found = count(database, TIED).await;
        until_tied(database, all).await;
        let paid = async { while count(database, OWED).await > 0 {} };
        tokio::time::timeout(Duration::from_secs(60), paid).await.expect("the debt stays");
        if found < all {
            println!("figures: killed when {} of {MANY} links were made, all made after it", found - before);
            return;
        }
    }
    panic!("no kill hit it half way");
}

async fn until_tied(database: &str, least: i64) {
    let tied = async { while count(database, TIED).await < least {} };
    tokio::time::timeout(Duration::from_secs(60), tied).await.expect("links are missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_on_sqlite_that_a_kill_broke_off_are_finished_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
    killed_while_much_is_tied(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_on_postgres_that_a_kill_broke_off_are_finished_by_the_next_start() {
    let Some(url) = crate::postgres::new_database().await else { return };
    killed_while_much_is_tied(&url).await;
}
