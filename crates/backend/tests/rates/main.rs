//! How fast it is, beside the same upsert in plain SQL in the same run. Not part of the usual tests:
//!
//! ```text
//! HEYHO_TEST_POSTGRES_FSYNC=on cargo test --release -p heyho-backend --test rates -- --ignored --nocapture
//! ```
//!
//! A batch is a companion's: 100 visits and 100 aggregates of 700 bytes each, all new, each batch committed durably
//! before the next of the same client begins.

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
    use sqlx::Connection as _;
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

    const PLAIN: &str =
        "CREATE TABLE plain (id TEXT PRIMARY KEY, url TEXT, visited_at BIGINT, record TEXT NOT NULL)";

    fn rows(batch: usize) -> Vec<(String, String)> {
        let body: Value = serde_json::from_str(&body(batch)).unwrap();
        ["pageVisits", "tabAggregates"]
            .iter()
            .flat_map(|list| body[list].as_array().unwrap().clone())
            .map(|r| (r["id"].as_str().unwrap().to_owned(), r.to_string()))
            .collect()
    }

    async fn plain_sqlite(url: &str) -> Duration {
        let mut db = sqlx::SqliteConnection::connect(url).await.unwrap();
        for sql in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", PLAIN] {
            sqlx::query(sql).execute(&mut db).await.unwrap();
        }
        let batches: Vec<_> = (0..BATCHES).map(rows).collect();
        let started = Instant::now();
        for rows in batches {
            let mut tx = db.begin_with("BEGIN IMMEDIATE").await.unwrap();
            let mut sql = sqlx::QueryBuilder::<sqlx::Sqlite>::new("INSERT INTO plain ");
            sql.push_values(rows, |mut values, (id, record)| {
                values
                    .push_bind(id)
                    .push_bind("https://example.com/some/page")
                    .push_bind(1_i64)
                    .push_bind(record);
            });
            sql.push(" ON CONFLICT (id) DO UPDATE SET record = excluded.record");
            sql.build().execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        started.elapsed()
    }

    async fn plain_postgres(url: &str) -> Duration {
        let mut db = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::query(PLAIN).execute(&mut db).await.unwrap();
        let batches: Vec<_> = (0..BATCHES).map(rows).collect();
        let started = Instant::now();
        for rows in batches {
            let (ids, records): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
            sqlx::query(
                "INSERT INTO plain SELECT id, 'https://example.com/some/page', 1, record
                 FROM unnest($1::text[], $2::text[]) AS r (id, record)
                 ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            )
            .bind(ids)
            .bind(records)
            .execute(&mut db)
            .await
            .unwrap();
        }
        started.elapsed()
    }

    fn report(what: &str, took: Duration) {
        let records = BATCHES as f64 * 200.0;
        eprintln!(
            "{what}: {:.0} records/s, {:.1} ms a batch",
            records / took.as_secs_f64(),
            took.as_secs_f64() * 1e3 / BATCHES as f64
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "measures; says nothing in a debug build or on a busy machine"]
    async fn rates() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let place = |name: &str| folder.path().join(name);
        for clients in [1, 8] {
            let database = Database::Sqlite(place(&format!("{clients}.db")));
            report(&format!("SQLite, {clients} users"), through_the_backend(database, clients).await);
        }
        let url = format!("sqlite://{}?mode=rwc", place("plain.db").display());
        report("SQLite, plain upsert of four columns", plain_sqlite(&url).await);
        for clients in [1, 8] {
            let Some(url) = postgres::new_database().await else { return };
            report(
                &format!("PostgreSQL, {clients} users"),
                through_the_backend(Database::Postgres(Url(url)), clients).await,
            );
        }
        if let Some(url) = postgres::new_database().await {
            report("PostgreSQL, plain upsert of four columns", plain_postgres(&url).await);
        }
    }
}
