//! Opening: migrating takes as long as it takes; what could not hold every text is refused.

use crate::support::limits;
use heyho_backend::limits::Limits;
use heyho_backend::store::Store as _;
use heyho_backend::store::postgres::PostgresStore;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use std::time::Duration;

/// Far more than the time that any other statement has.
const HELD_UP: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '500 ms'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_held_up_for_longer_than_a_statement_may_take_goes_on() {
    let Some(url) = crate::postgres::new_database().await else { return };
    PostgresStore::open(&url, &limits()).await.unwrap().close().await;
    let mut beside = sqlx::PgConnection::connect(&url).await.unwrap();
    beside
        .execute(sqlx::raw_sql("BEGIN; LOCK TABLE _sqlx_migrations IN ACCESS EXCLUSIVE MODE"))
        .await
        .unwrap();
    // Of its own: within one transaction the activity looks as it did at the first look.
    let mut watching = sqlx::PgConnection::connect(&url).await.unwrap();
    let limits = Limits { statement_timeout: Duration::from_millis(50), ..limits() };
    let opening = tokio::spawn(async move { PostgresStore::open(&url, &limits).await });
    let held_up = async {
        loop {
            let waiting: i64 = sqlx::query_scalar(HELD_UP).fetch_one(&mut watching).await.unwrap();
            if waiting > 0 || opening.is_finished() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), held_up).await.expect("nothing waits for the lock");
    beside.execute("ROLLBACK").await.unwrap();
    let store = opening.await.unwrap().unwrap();
    // others have no more time than before
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let Some(url) = crate::postgres::new_database().await else { return };
    let mut url = url::Url::parse(&url).unwrap();
    let mut beside = sqlx::PgConnection::connect(url.as_str()).await.unwrap();
    let name = format!("{}_latin1", url.path().trim_start_matches('/'));
    let make =
        format!("CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    beside.execute(sqlx::raw_sql(AssertSqlSafe(make))).await.unwrap();
    url.set_path(&name);
    let refused = PostgresStore::open(url.as_str(), &limits()).await.unwrap_err().to_string();
    assert!(refused.contains("LATIN1") && refused.contains("UTF8"), "{refused}");
}
