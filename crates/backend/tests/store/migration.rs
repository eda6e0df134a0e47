//! Migrating takes as long as it takes.

use crate::support::limits;
use heyho_backend::limits::Limits;
use heyho_backend::store::Store as _;
use heyho_backend::store::postgres::PostgresStore;
use sqlx::{Connection as _, Executor as _};
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
