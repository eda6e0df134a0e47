//! What a batch looks up, PostgreSQL finds by an index, in tables of which it has no statistics: as plain joins these
//! look-ups fetch all that a user has, which is fast on a new database and unusable on an old one. It counts itself how
//! often it looked something up, and what it fetched.

use crate::support::{Aggregate, Asked, Visit, aggregate, limits, visit};
use heyho_backend::limits::SLICE;
use heyho_backend::store::postgres::PostgresStore;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::time::Duration;

const ROWS: usize = 4_000;
/// More than one slice wait for one visit.
const MANY: usize = SLICE + 500;

/// Visits, aggregates of which each waits for its own visit or all of some for one, tombstones.
fn filling() -> String {
    let columns = "user_id, source, id, version, received_at, checksum, checksum_algorithm";
    format!(
        "INSERT INTO page_visits ({columns}, updated_at, revision, record)
         SELECT id, 's', 'v' || n, 0, 1, sha256('x'), 1, 1, 0, '{{}}' FROM users, generate_series(1, {ROWS}) AS n;
         INSERT INTO tab_aggregates ({columns}, updated_at, revision, record, domains, page_visit_id)
         SELECT id, 's', 'a' || n, 0, 1, sha256('x'), 1, 1, 0, '{{}}', '[]', 'absent' || n
         FROM users, generate_series(1, {ROWS}) AS n;
         INSERT INTO tab_aggregates ({columns}, updated_at, revision, record, domains, page_visit_id)
         SELECT id, 's', 'b' || n, 0, 1, sha256('x'), 1, 1, 0, '{{}}', '[]', 'many' FROM users, generate_series(1, {MANY}) AS n;
         INSERT INTO tombstones ({columns}, kind, deleted_at)
         SELECT id, 's', 'gone' || n, 0, 1, sha256('x'), 1, 1, 1 FROM users, generate_series(1, {ROWS}) AS n;"
    )
}

const TABLES: &str = "('page_visits', 'tab_aggregates', 'tombstones')";

/// A session's counts are there when it is gone.
async fn until_gone(beside: &mut PgConnection) {
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'heyho-backend'";
    let gone =
        async { while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *beside).await.unwrap() > 0 {} };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the store's sessions stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_is_looked_up_by_its_index_on_postgres() {
    let Some(url) = crate::postgres::new_database().await else { return };
    let asked = Asked::of(PostgresStore::open(&url, &limits()).await.unwrap(), &url);
    let user = asked.user().await;
    // Under the store's name, so that its own counts have come as well before they are forgotten.
    let filling_url = format!("{url}?application_name=heyho-backend");
    let mut filler = PgConnection::connect(&filling_url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(filling())).execute(&mut filler).await.unwrap();
    filler.close().await.unwrap();
    asked.store.close().await;
    let mut beside = PgConnection::connect(&url).await.unwrap();
    until_gone(&mut beside).await;
    sqlx::raw_sql("SELECT pg_stat_reset()").execute(&mut beside).await.unwrap();

    let asked = Asked::of(PostgresStore::open(&url, &limits()).await.unwrap(), &url);
    let better = |n| Visit { ended: Some(n), ..visit(&format!("v{n}")) };
    let tied = |n| Aggregate { active: Some(n), ..aggregate(&format!("a{n}"), Some(&format!("v{n}"))) };
    // so often that a plan is kept
    for round in 0..7 {
        let some = || round * 100..(round + 1) * 100;
        let held = some().map(better);
        let new = some().map(|n| visit(&format!("absent{n}")));
        let gone = some().map(|n| visit(&format!("gone{n}")));
        asked.save(user, held.chain(new).chain(gone).collect(), some().map(tied).collect()).await;
        // the same with a higher revision
        let raised = some().map(|n| Visit { revision: 1, ..better(n) });
        let raised_too = some().map(|n| Aggregate { revision: 1, ..tied(n) });
        asked.save(user, raised.collect(), raised_too.collect()).await;
    }
    asked.save(user, vec![visit("many")], vec![]).await;
    assert_eq!(asked.count("SELECT count(*) FROM link_debts").await, 1);
    asked.store.close().await;
    until_gone(&mut beside).await;
    let sum = async |what: &str, beside: &mut PgConnection| -> i64 {
        let sql = format!("SELECT sum({what})::bigint FROM pg_stat_user_tables WHERE relname IN {TABLES}");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(beside).await.unwrap()
    };
    let (looked_up, fetched) = (sum("idx_scan", &mut beside).await, sum("idx_tup_fetch", &mut beside).await);
    assert!(looked_up > 10_000, "nothing was counted");
    // a key finds a row or none; by the user alone each would fetch thousands
    assert!(fetched < looked_up, "{fetched} rows were fetched by {looked_up} look-ups");
    assert_eq!(sum("seq_tup_read", &mut beside).await, 0, "rows were read from one end to the other");
}
