//! `heyho-backend serve` as a process of its own.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Program {
    child: Child,
    base: String,
    database: String,
    http: reqwest::Client,
}

impl Program {
    /// Starts it and waits for its one line.
    pub async fn start(database: &str) -> Program {
        Program::start_with(database, |_| ()).await
    }

    /// The same with more settings; they are not kept over a kill.
    pub async fn start_with(database: &str, change: impl FnOnce(&mut Command) + Send + 'static) -> Program {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (child, base) = spawn(database.to_owned(), change).await;
        // a connection to a killed server is never used again
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        // an end, not a measure: reading thirty million zeros takes a busy machine a minute
        let http = http.timeout(Duration::from_secs(180)).build().unwrap();
        Program { child, base, database: database.to_owned(), http }
    }

    /// Kills it as a power cut would and starts it again.
    pub async fn kill_and_start(&mut self) {
        self.kill_and_start_with(|_| ()).await;
    }

    /// The same with more settings.
    pub async fn kill_and_start_with(&mut self, change: impl FnOnce(&mut Command) + Send + 'static) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.base) = spawn(self.database.clone(), change).await;
    }

    /// Starts it, kills it that much later whatever it is at, then starts it in earnest.
    pub async fn start_after_a_kill(database: &str, later: Duration) -> Program {
        Program::start_and_kill(database, later).await;
        Program::start(database).await
    }

    /// Starts it and kills it that much later, whatever it is at.
    pub async fn start_and_kill(database: &str, later: Duration) {
        let mut child = command(database).spawn().unwrap();
        // not a wait for something: the moment of a kill is arbitrary
        tokio::time::sleep(later).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn client(&self) -> Client {
        Client { base: self.base().to_owned(), http: self.http.clone() }
    }

    /// The most memory it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(database: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heyho-backend"));
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("HEYHO_DATABASE_URL", database)
        .env("HEYHO_JWT_SECRET", "the same for every node of these tests")
        .env("HEYHO_LOG", std::env::var("HEYHO_TEST_LOG").unwrap_or_else(|_| "off".to_owned()))
        .stdout(Stdio::piped());
    command
}

async fn spawn(database: String, change: impl FnOnce(&mut Command) + Send + 'static) -> (Child, String) {
    tokio::task::spawn_blocking(move || {
        let mut command = command(&database);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
        (child, base.to_owned())
    })
    .await
    .unwrap()
}

#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    pub async fn register(&self) -> String {
        let body = json!({"email": "ada@example.org", "password": "correct horse"});
        let request = self.http.post(format!("{}/api/v1/auth/register", self.base)).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["data"]["access_token"].as_str().unwrap().to_owned()
    }

    /// Any request with a JSON body, or without one; None: no whole answer came.
    pub async fn ask(&self, method: Method, path: &str, token: &str, body: &Value) -> Option<(u16, Value)> {
        let mut request =
            self.http.request(method, format!("{}/api/v1/{path}", self.base)).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        if text.is_empty() {
            Some((status, Value::Null))
        } else {
            Some((status, serde_json::from_str(&text).ok()?))
        }
    }

    /// None: no whole answer came.
    pub async fn sync(
        &self,
        token: &str,
        key: &str,
        body: Vec<u8>,
        gzip: bool,
    ) -> Option<(StatusCode, Value)> {
        let mut request = self.http.post(format!("{}/api/v1/data/sync", self.base)).bearer_auth(token);
        request = request.header("Idempotency-Key", key).body(body);
        if gzip {
            request = request.header("Content-Encoding", "gzip");
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        Some((status, response.json().await.ok()?))
    }

    pub async fn stored(&self, token: &str) -> Vec<Value> {
        let mut visits = Vec::new();
        let mut cursor = String::new();
        loop {
            let url = format!("{}/api/v1/browsing_data?limit=1000&cursor={cursor}", self.base);
            let page: Value =
                self.http.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
            visits.extend(page["data"]["page_visits"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return visits,
            }
        }
    }
}

pub fn batch(name: &str, records: usize) -> Vec<u8> {
    let visits: Vec<Value> = (0..records)
        .map(|n| json!({"id": format!("{name}-{n}"), "url": "https://example.com/", "visited_at": 1, "title": "x".repeat(500)}))
        .collect();
    json!({"pageVisits": visits}).to_string().into_bytes()
}

/// A plain look into the database, beside the program.
pub async fn count(database: &str, sql: &str) -> i64 {
    use sqlx::Connection as _;
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    if database.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(database).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    } else {
        let mut connection = sqlx::PgConnection::connect(database).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }
}
