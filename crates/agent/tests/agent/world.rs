//! One scratch home with its buffer and its agent.

use heyho_agent::{Agent, StartOptions, start_or_join};
use heyho_buffer::{Arrival, Buffer, Source};
use heyho_local::clock;
use heyho_local::config::Config;
use heyho_local::paths::Paths;
use heyho_local::vocabulary::{Companion, Fault, Login, Request, RunSummary, ask};
use heyho_records::status::{Account, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct Played {
    wall: AtomicI64,
    boot: AtomicI64,
    /// How often the schedule's clock was looked at.
    pub looks: AtomicI64,
    /// Whoever looks at it finds a fault of the program.
    pub broken: AtomicBool,
}

impl Played {
    pub fn new() -> Arc<Played> {
        let wall = clock::system().now_ms();
        Arc::new(Played {
            wall: AtomicI64::new(wall),
            boot: AtomicI64::new(1_000_000),
            looks: AtomicI64::new(0),
            broken: AtomicBool::new(false),
        })
    }

    /// Both clocks, as when time passes; so the machine may have slept.
    pub fn pass(&self, time: Duration) {
        self.set_wall_on(time.as_millis() as i64);
        self.boot.fetch_add(time.as_millis() as i64, Ordering::SeqCst);
    }

    /// Only what people see on the wall.
    pub fn set_wall_on(&self, by_ms: i64) {
        self.wall.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl clock::Clock for Played {
    fn now(&self) -> jiff::Timestamp {
        heyho_records::time::timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn boot_ms(&self) -> Option<i64> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        assert!(!self.broken.load(Ordering::SeqCst), "a fault that the test has planted");
        Some(self.boot.load(Ordering::SeqCst))
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub config: Config,
}

pub struct Running {
    pub companion: Arc<dyn Companion>,
    pub agent: Agent,
}

impl World {
    pub fn new(url: &str) -> World {
        let text = format!("[backend]\nurl = \"{url}\"\n[tokens]\nstore = \"file\"\n");
        World { dir: tempfile::tempdir().unwrap(), config: Config::parse(&text, "config.toml").unwrap() }
    }

    pub fn paths(&self) -> Paths {
        let of = |name: &str| self.dir.path().join(name);
        Paths { data: of("data"), config: of("config"), state: of("state"), runtime: of("run") }
    }

    pub fn options(&self) -> StartOptions {
        StartOptions {
            paths: self.paths(),
            config: self.config.clone(),
            clock: clock::system(),
            open: None,
            surroundings: None,
            first_run: true,
        }
    }

    pub async fn start(&self) -> Running {
        self.start_with(self.options()).await
    }

    pub async fn start_with(&self, options: StartOptions) -> Running {
        let started = start_or_join(options).await.unwrap();
        Running { companion: started.companion, agent: started.agent.unwrap() }
    }

    /// As a host does: straight into the buffer.
    pub async fn append(&self, ids: &[&str]) {
        let texts: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"id":"{id}","url":"http://a/{id}","startedAt":1700000000000}}"#))
            .collect();
        self.append_texts(&texts, &[]).await;
    }

    /// Visits and aggregates.
    pub async fn append_texts(&self, visits: &[String], aggregates: &[String]) {
        let buffer = Buffer::open(&self.paths().buffer()).await.unwrap();
        let [visits, aggregates] =
            [visits, aggregates].map(|texts| texts.iter().map(String::as_str).collect::<Vec<_>>());
        let source = Source {
            name: "ext#p".into(),
            profile_id: "p".into(),
            browser: "Chromium".into(),
            client: String::new(),
        };
        let now = clock::system().now_ms();
        buffer.append(&source, &[Arrival::read(None, &visits, &aggregates)], 0, now).await.unwrap();
        buffer.close().await;
    }
}

impl Running {
    pub async fn login(&self, email: &str, password: &str) -> Result<Account, Fault> {
        let login = login(email, password);
        ask(self.companion.as_ref(), Request::Login(login)).await
    }

    pub async fn sync(&self) -> Result<RunSummary, Fault> {
        ask(self.companion.as_ref(), Request::Sync { wait: true }).await
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
        let mut watch = self.companion.watch();
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Some(status) = watch.borrow_and_update().as_ref().filter(|s| holds(s)) {
                    return status.clone();
                }
                watch.changed().await.unwrap();
            }
        });
        match waited.await {
            Ok(status) => status,
            Err(_) => panic!("not within 30 s: {what}; it is {:?}", *self.companion.watch().borrow()),
        }
    }
}

pub fn login(email: &str, password: &str) -> Login {
    Login {
        email: email.into(),
        password: password.into(),
        backend: None,
        register: false,
        first_name: None,
        last_name: None,
        claim: None,
        keep_password: None,
    }
}
