//! Much at once on PostgreSQL, where a statement that takes too long is ended: however much goes, no statement takes long.
//!
//! Every row takes a moment to go, so that all of them in one statement would take longer than it may.

use crate::support::{Asked, NOW, limits};
use heyho_backend::limits::{Limits, SLICE};
use heyho_backend::store::postgres::PostgresStore;
use heyho_backend::store::{Deletion, PageQuery, Place, Selection, UserId};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::time::Duration;

const ROWS: usize = 8 * SLICE;

const A_MOMENT_EACH: &str = "
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.001); RETURN OLD; END $$;
    CREATE TRIGGER dawdle BEFORE DELETE ON page_visits FOR EACH ROW EXECUTE FUNCTION dawdle();
    CREATE TRIGGER dawdle BEFORE DELETE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION dawdle();";

/// Somebody with so many visits, so many answers to replay, and the store; beside it a plain connection.
async fn much() -> Option<(Asked, UserId, PgConnection)> {
    let url = crate::postgres::new_database().await?;
    let limits = Limits { statement_timeout: Duration::from_secs(6), ..limits() };
    let asked = Asked::of(PostgresStore::open(&url, &limits).await.unwrap(), &url);
    let user = asked.user().await;
    let mut beside = PgConnection::connect(&url).await.unwrap();
    let rows = format!(
        "INSERT INTO page_visits (user_id, source, id, version, received_at, updated_at, checksum, checksum_algorithm,
                                  revision, record, host, visited_at)
         SELECT id, 's', 'v' || n, 0, 1, 1, '\\x00', 1, 0, '{{}}', 'a.example', {NOW} FROM users, generate_series(1, {ROWS}) AS n;
         INSERT INTO idempotency_keys (user_id, method, path, key, body_hash, answer, answered_at)
         SELECT id, 'POST', '/', 'k' || n, '\\x00', '', 0 FROM users, generate_series(1, {ROWS}) AS n;"
    );
    beside.execute(sqlx::raw_sql(AssertSqlSafe(rows))).await.unwrap();
    beside.execute(A_MOMENT_EACH).await.unwrap();
    Some((asked, user, beside))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_deletion_is_many_small_ones_and_others_write_in_between() {
    let Some((asked, user, _)) = much().await else { return };
    let deletion =
        Deletion { user, device: None, selection: Selection::Domain("a.example".into()), now: NOW };
    assert_eq!(asked.store.delete_records(deletion).await.unwrap(), ROWS as u64);
    assert_eq!(asked.page(user, Place::start(), 10).await.records, []);
    let first = PageQuery { user, kind: None, after: Place::start(), limit: 1 };
    let after = Place { version: 7, kind: 9, ..Place::start() };
    let last = PageQuery { user, kind: None, after, limit: ROWS as i64 };
    assert_eq!(asked.store.tombstones(first).await.unwrap()[0].place.version, 1);
    assert_eq!(asked.store.tombstones(last).await.unwrap().len(), SLICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_large_account_and_many_old_answers_are_no_different() {
    let Some((asked, user, mut beside)) = much().await else { return };
    assert_eq!(asked.store.purge(NOW).await.unwrap(), ROWS as u64);
    asked.store.delete_user(user).await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM page_visits)")
            .fetch_one(&mut beside)
            .await
            .unwrap();
    assert_eq!(left, 0);
}

/// The program ended in the middle: what is left is nobody's, and goes the next time anything is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_broke_off_is_finished_later() {
    let Some((asked, user, mut beside)) = much().await else { return };
    let store = &asked.store;
    sqlx::raw_sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION refuse();",
    )
    .execute(&mut beside)
    .await
    .unwrap();
    assert!(store.delete_user(user).await.is_err());
    assert_eq!(store.account(user).await.unwrap(), None);
    beside.execute("DROP TRIGGER refuse ON users").await.unwrap();
    store.purge(0).await.unwrap();
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&mut beside).await.unwrap();
    assert_eq!(users, 0);
}
