//! A server on a free port, with a clock that stands still until it is moved, and a small client.

use crate::documented;
use heyho_backend::clock::Clock;
use heyho_backend::config::Url;
use heyho_backend::limits::Rate;
use heyho_backend::secret::Secret;
use heyho_backend::{Config, Database, Server};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Makes one test a store of each function named: `fn name(server: Backend)`.
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::support::Backend::on_sqlite().await).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(backend) = $crate::support::Backend::on_postgres().await {
                        super::$name(backend).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_each_store;

/// 2026-11-20T12:00:00Z
pub const START: i64 = 1_795_176_000_000;

pub struct Backend {
    pub clock: Clock,
    base: String,
    address: Option<SocketAddr>,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    config: Config,
    folder: TempDir,
}

impl Backend {
    pub async fn on_sqlite() -> Backend {
        Backend::with(|_| ()).await
    }

    pub async fn on_postgres() -> Option<Backend> {
        let url = crate::postgres::new_database().await?;
        let config = |config: &mut Config| {
            config.database = Database::Postgres(Url(url));
            config.secret = Some(Secret::from_bytes([7; 32]));
            config.limits.postgres_connections = 6;
        };
        Some(Backend::with(config).await)
    }

    /// A server with other settings than the usual.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Backend {
        // a second installation in this process is refused, which is fine
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(Database::Sqlite(folder.path().join("data").join("heyho.db")));
        // one machine asks for all of them, and its clock stands still
        let often = Rate { burst: 1_000_000, per_minute: 1_000_000 };
        (config.limits.network_requests, config.limits.user_requests) = (often, often);
        config.clock = Clock::manual(START);
        change(&mut config);
        let mut backend = Backend {
            clock: config.clock.clone(),
            base: String::new(),
            address: None,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop: None,
            running: None,
            config,
            folder,
        };
        backend.start().await;
        backend
    }

    /// A second server over the same database.
    pub async fn another_node(&self) -> Backend {
        let config = self.config.clone();
        Backend::with(|c| *c = config).await
    }

    pub fn database_url(&self) -> String {
        match &self.config.database {
            Database::Sqlite(path) => format!("sqlite://{}", path.display()),
            Database::Postgres(url) => url.0.clone(),
        }
    }

    async fn start(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::open(listener, self.config.clone()).await.unwrap();
        self.address = Some(server.address());
        self.base = server.url();
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.running = Some(tokio::spawn(server.run(async {
            let _ = stopped.await;
        })));
    }

    /// Stops the server as SIGTERM does and starts it on the same database.
    pub async fn restart(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.running.take().unwrap().await.unwrap().unwrap();
        self.start().await;
    }

    /// Starts it again with other settings.
    pub async fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.restart().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// Asks the server to stop and leaves it to finish.
    pub fn ask_to_stop(&mut self) -> JoinHandle<anyhow::Result<()>> {
        self.stop.take().unwrap().send(()).unwrap();
        self.running.take().unwrap()
    }

    /// Waits until so many requests, besides the one that asks, are being served.
    pub async fn until_under_way(&self, requests: usize) {
        let wanted = format!("heyho_http_requests_under_way {}", requests + 1);
        let seen = async {
            loop {
                let text = self.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
                if text.lines().any(|line| line == wanted) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen).await.expect(&wanted);
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        send(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Answer {
        send(self.request(Method::DELETE, path).bearer_auth(token)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn post_as(&self, token: &str, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).bearer_auth(token).json(&body)).await
    }

    /// Registers somebody and returns who it is.
    pub async fn register(&self, email: &str) -> Account {
        let body = json!({"email": email, "password": "correct horse"});
        let answer = self.post("/api/v1/auth/register", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        Account::from(&answer.body)
    }

    pub async fn sync(&self, token: &str, visits: Value, aggregates: Value) -> Answer {
        let body = json!({"batchId": "b-1", "pageVisits": visits, "tabAggregates": aggregates});
        self.post_as(token, "/api/v1/data/sync", body).await
    }

    /// Everything stored, read page by page.
    pub async fn stored(&self, token: &str, kind: &str, limit: usize) -> Vec<Value> {
        let mut records = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/browsing_data?kind={kind}&limit={limit}&cursor={cursor}");
            let page = self.get(&path, token).await;
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            for list in ["page_visits", "tab_aggregates"] {
                records.extend(page.body["data"][list].as_array().unwrap().iter().cloned());
            }
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return records,
            }
        }
    }

    /// Runs SQL in the database, beside the server.
    pub async fn execute(&self, sql: impl Into<String>) {
        let sql = sqlx::AssertSqlSafe(sql.into());
        match &self.config.database {
            Database::Sqlite(_) => {
                let mut beside = sqlx::SqliteConnection::connect(&self.database_url()).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut beside).await.unwrap();
            }
            Database::Postgres(url) => {
                let mut beside = sqlx::PgConnection::connect(&url.0).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut beside).await.unwrap();
            }
        }
    }

    /// Until it is released nothing can be saved; it can be read.
    pub async fn hold_writes(&self) -> Held {
        match &self.config.database {
            Database::Sqlite(_) => {
                let mut beside = sqlx::SqliteConnection::connect(&self.database_url()).await.unwrap();
                sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut beside).await.unwrap();
                Held::Sqlite(beside)
            }
            Database::Postgres(url) => {
                let mut beside = sqlx::PgConnection::connect(&url.0).await.unwrap();
                sqlx::raw_sql("BEGIN; LOCK TABLE feeds IN EXCLUSIVE MODE")
                    .execute(&mut beside)
                    .await
                    .unwrap();
                Held::Postgres(beside)
            }
        }
    }

    /// A plain look into the database, beside the server.
    pub async fn count(&self, sql: &'static str) -> i64 {
        match &self.config.database {
            Database::Sqlite(path) => {
                let url = format!("sqlite://{}", path.display());
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                count
            }
            Database::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(&url.0).await.unwrap();
                let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                count
            }
        }
    }
}

pub enum Held {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
}

impl Held {
    pub async fn release(self) {
        match self {
            Held::Sqlite(mut beside) => drop(sqlx::raw_sql("ROLLBACK").execute(&mut beside).await.unwrap()),
            Held::Postgres(mut beside) => drop(sqlx::raw_sql("ROLLBACK").execute(&mut beside).await.unwrap()),
        }
    }
}

#[derive(Debug)]
pub struct Account {
    pub id: String,
    pub access: String,
    pub refresh: String,
}

impl Account {
    pub fn from(body: &Value) -> Account {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        Account {
            id: text(&body["data"]["user"]["id"]),
            access: text(&body["data"]["access_token"]),
            refresh: text(&body["data"]["refresh_token"]),
        }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub replayed: bool,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }

    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.body
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let status = response.status();
    let replayed = response.headers().get("x-idempotent-replay").is_some_and(|v| v == "true");
    let text = response.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) };
    documented::check(&method, &path, status, &body);
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(body["success"], false, "{text}");
        assert!(body["code"].is_string() && body["error"].is_string(), "{text}");
    }
    Answer { status, replayed, body }
}

pub fn visit(id: &str) -> Value {
    json!({"id": id, "url": format!("https://example.com/{id}"), "visited_at": START, "title": "A page"})
}

pub fn aggregate(tab: i64) -> Value {
    json!({"tabId": tab, "startTime": START, "totalActiveDuration": 5, "domainDurations": {"example.com": 5}})
}
