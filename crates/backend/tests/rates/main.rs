//! How fast it is, beside the same upserts in plain SQL in the same run: the same rows, columns and indexes, sent from
//! here. Not part of the usual tests:
//!
//! ```text
//! HEYHO_TEST_POSTGRES_FSYNC=on cargo test --release -p heyho-backend --test rates -- --ignored --nocapture
//! ```
//!
//! A batch is a companion's: 100 visits and 100 aggregates of 700 bytes each, all new, each batch committed durably
//! before the next of the same client begins.

#![cfg_attr(test, expect(clippy::print_stdout, reason = "the figures of a run"))]

#[cfg(test)]
#[path = "../support/postgres.rs"]
mod postgres;

#[cfg(test)]
mod tests {
    use crate::postgres;
    use heyho_backend::config::Url;
    use heyho_backend::secret::Secret;
    use heyho_backend::{Config, Database, Server};
    use serde_json::{Value, json};
    use sqlx::{AssertSqlSafe, Connection as _};
    use std::time::{Duration, Instant};

    const BATCHES: usize = 200;

    fn body(batch: usize) -> String {
        let padding = "x".repeat(560);
        let visits: Vec<Value> = (0..100)
            .map(|n| {
                json!({"id": format!("v{batch}-{n}"), "url": "https://example.com/some/page", "visited_at": 1_700_000_000_000_i64 + n,
                       "duration": 1200, "isActive": true, "metadata": {"x": padding}, "companionSource": "s", "companionRevision": 1})
            })
            .collect();
        let aggregates: Vec<Value> = (0..100)
            .map(|n| {
                json!({"id": format!("a{batch}-{n}"), "tabId": n, "startTime": 1_700_000_000_000_i64, "page_visit_id": format!("v{batch}-{n}"),
                       "totalActiveDuration": 5, "domainDurations": {"example.com": 5}, "statistics": {"x": padding},
                       "companionSource": "s", "companionRevision": 1})
            })
            .collect();
        json!({"pageVisits": visits, "tabAggregates": aggregates}).to_string()
    }

    async fn through_the_backend(database: Database, clients: usize) -> Duration {
        let mut config = Config::new(database);
        config.secret = Some(Secret::from_bytes([7; 32]));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::open(listener, config).await.unwrap();
        let base = server.url();
        tokio::spawn(server.run(std::future::pending()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut tokens = Vec::new();
        for n in 0..clients {
            let who = json!({"email": format!("u{n}@example.org"), "password": "correct horse"});
            let request = http.post(format!("{base}/api/v1/auth/register")).json(&who);
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            tokens.push(answer["data"]["access_token"].as_str().unwrap().to_owned());
        }
        let bodies: Vec<String> = (0..BATCHES).map(body).collect();
        let started = Instant::now();
        futures_util::future::join_all(tokens.iter().enumerate().map(async |(client, token)| {
            for batch in (client..BATCHES).step_by(clients) {
                let request = http.post(format!("{base}/api/v1/data/sync")).bearer_auth(token);
                let request =
                    request.header("Idempotency-Key", batch.to_string()).body(bodies[batch].clone());
                assert_eq!(request.send().await.unwrap().status(), 200);
            }
        }))
        .await;
        started.elapsed()
    }

    const TABLES: [&str; 2] = ["page_visits", "tab_aggregates"];

    /// The upsert of a hundred rows as text, all columns of them; `row_id` and the link are the database's own.
    fn upsert(table: &str, columns: &[String], rows: &[String]) -> String {
        let anew: Vec<String> = columns.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        format!(
            "INSERT INTO {table} ({}) VALUES {} ON CONFLICT (user_id, source, id) DO UPDATE SET {};",
            columns.join(", "),
            rows.join(", "),
            anew.join(", ")
        )
    }

    /// One transaction a batch, from the rows of both tables.
    fn transactions(upserts: [Vec<String>; 2]) -> Vec<String> {
        let [visits, aggregates] = upserts;
        visits.into_iter().zip(aggregates).map(|(visits, aggregates)| visits + &aggregates).collect()
    }

    /// Writes what the backend wrote once more, from here: the same rows into the same emptied tables with the same
    /// indexes, a batch a transaction, waited for on the disk.
    async fn plain_sqlite(path: &std::path::Path) -> Duration {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(true);
        let options = options.pragma("synchronous", "FULL").pragma("secure_delete", "ON");
        let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let mut upserts = [Vec::new(), Vec::new()];
        for (table, upserts) in TABLES.into_iter().zip(&mut upserts) {
            let sql = format!(
                "SELECT name FROM pragma_table_info('{table}') WHERE name NOT IN ('row_id', 'page_visit_row')"
            );
            let columns: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
            let quoted: Vec<String> = columns.iter().map(|name| format!("quote({name})")).collect();
            let sql =
                format!("SELECT '(' || {} || ')' FROM {table} ORDER BY row_id", quoted.join(" || ',' || "));
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
            assert_eq!(rows.len(), BATCHES * 100);
            upserts.extend(rows.chunks(100).map(|rows| upsert(table, &columns, rows)));
        }
        for sql in
            ["DELETE FROM tab_aggregates", "DELETE FROM page_visits", "PRAGMA wal_checkpoint(TRUNCATE)"]
        {
            sqlx::query(sql).execute(&mut db).await.unwrap();
        }
        let transactions = transactions(upserts);
        let started = Instant::now();
        for sql in transactions {
            let mut tx = db.begin_with("BEGIN IMMEDIATE").await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        started.elapsed()
    }

    async fn plain_postgres(url: &str) -> Duration {
        let mut db = sqlx::PgConnection::connect(url).await.unwrap();
        let mut upserts = [Vec::new(), Vec::new()];
        for (table, upserts) in TABLES.into_iter().zip(&mut upserts) {
            let columns: Vec<String> = sqlx::query_scalar(
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_name = $1 AND column_name NOT IN ('row_id', 'page_visit_row')",
            )
            .bind(table)
            .fetch_all(&mut db)
            .await
            .unwrap();
            let quoted: Vec<String> =
                columns.iter().map(|name| format!("quote_nullable({name}::text)")).collect();
            let sql =
                format!("SELECT '(' || {} || ')' FROM {table} ORDER BY row_id", quoted.join(" || ',' || "));
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
            assert_eq!(rows.len(), BATCHES * 100);
            upserts.extend(rows.chunks(100).map(|rows| upsert(table, &columns, rows)));
        }
        sqlx::raw_sql("TRUNCATE tab_aggregates, page_visits CASCADE; CHECKPOINT")
            .execute(&mut db)
            .await
            .unwrap();
        let transactions = transactions(upserts);
        let started = Instant::now();
        for sql in transactions {
            let mut tx = db.begin().await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        started.elapsed()
    }

    fn report(what: &str, took: Duration, plain: Option<Duration>) {
        let ratio =
            plain.map(|plain| format!(", {:.2} of plain SQL", plain.as_secs_f64() / took.as_secs_f64()));
        println!(
            "figures: {what}: {:.0} records/s, {:.1} ms a batch{}",
            BATCHES as f64 * 200.0 / took.as_secs_f64(),
            took.as_secs_f64() * 1e3 / BATCHES as f64,
            ratio.unwrap_or_default()
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "measures; says nothing in a debug build or on a busy machine"]
    async fn rates() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for clients in [1, 8] {
            let path = folder.path().join(format!("{clients}.db"));
            let took = through_the_backend(Database::Sqlite(path.clone()), clients).await;
            let plain = plain_sqlite(&path).await;
            report("plain SQL into SQLite, one connection", plain, None);
            report(&format!("SQLite, {clients} users"), took, Some(plain));
            let Some(url) = postgres::new_database().await else { continue };
            let took = through_the_backend(Database::Postgres(Url(url.clone())), clients).await;
            let plain = plain_postgres(&url).await;
            report("plain SQL into PostgreSQL, one connection", plain, None);
            report(&format!("PostgreSQL, {clients} users"), took, Some(plain));
        }
    }
}
