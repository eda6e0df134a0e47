//! A user of their own: folders, a backend in this process, an agent as a process.

use heyho_backend::{Config, Database, Server};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use tokio::sync::oneshot;

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "a password of these tests";

pub struct World {
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        World { dir: tempfile::tempdir().unwrap() }
    }

    /// With settings: tokens in a file, no keyring is touched.
    pub fn with(settings: &str) -> World {
        let world = World::new();
        world.configure(settings);
        world
    }

    pub fn configure(&self, settings: &str) {
        std::fs::create_dir_all(self.path("config")).unwrap();
        std::fs::write(self.path("config/config.toml"), settings).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heyho"));
        command
            .args(arguments)
            .env_clear()
            .env("TZ", "UTC")
            .env("HOME", self.path("home"))
            .env("HEYHO_DATA_DIR", self.path("data"))
            .env("HEYHO_CONFIG_DIR", self.path("config"))
            .env("HEYHO_STATE_DIR", self.path("state"))
            .env("HEYHO_RUNTIME_DIR", self.path("run"));
        command
    }

    pub fn heyho(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    pub fn heyho_reading(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The one JSON document of a command that goes well.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.heyho(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Exit status, stdout and stderr, with what differs from run to run taken out.
    pub fn said(&self, arguments: &[&str]) -> String {
        self.shown(arguments, &self.heyho(arguments))
    }

    pub fn shown(&self, arguments: &[&str], output: &Output) -> String {
        let mut text = format!("$ heyho {}\n", arguments.join(" "));
        text.push_str(&String::from_utf8_lossy(&output.stdout));
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            text.push_str(&format!("! {line}\n"));
        }
        text.push_str(&format!("= {}\n", output.status.code().unwrap_or(-1)));
        text.replace(self.dir.path().to_str().unwrap(), "[DIR]")
    }

    /// Records of an account as `heyho import` takes them.
    pub fn import(&self, lines: &[String]) {
        let file = self.path("in.ndjson");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let output = self.heyho(&["import", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn sign_in(&self, backend: &Backend) -> Output {
        let arguments =
            ["login", "--email", EMAIL, "--password-stdin", "--register", "--backend", &backend.url];
        self.heyho_reading(&arguments, PASSWORD)
    }

    pub fn agent(&self) -> Agent {
        let mut command = self.command(&["agent"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().any(|line| line.unwrap().contains("the agent is running"));
        assert!(ready, "the agent ended instead of running");
        // What it says later is read, so that it is never held up.
        std::thread::spawn(move || lines.for_each(drop));
        Agent(child)
    }
}

/// Ends with the test.
pub struct Agent(Child);

impl Agent {
    /// It is there, and answers nothing.
    pub fn hang(&self) {
        let stopped = Command::new("kill").args(["-STOP", &self.0.id().to_string()]).status().unwrap();
        assert!(stopped.success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The reference backend, on a port of its own.
pub struct Backend {
    pub url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Backend {
    pub fn start() -> Backend {
        Backend::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Config)) -> Backend {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(dir.path().join("heyho.db"));
        let mut config = Config::new(database);
        change(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        let (said, url) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let server = Server::open(listener, config).await.unwrap();
                said.send(server.url()).unwrap();
                let stop = async {
                    let _ = stopped.await;
                };
                server.run(stop).await.unwrap();
            });
        });
        Backend { url: url.recv().unwrap(), stop: Some(stop), thread: Some(thread), _dir: dir }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One line of an export, of nobody, or of an account at this backend.
pub fn line(id: &str, host: &str, account: Option<(&str, &str)>) -> String {
    let account = account.map_or("null".to_owned(), |(backend, email)| {
        format!(r#"{{"backend":"{backend}","user":"{email}","email":"{email}"}}"#)
    });
    format!(
        r#"{{"kind":"pageVisit","id":"{id}","source":"chrome-extension://x/#p","account":{account},"revision":3,"state":"waiting","reason":null,"capturedAt":"2026-01-02T03:04:05Z","record":{{"id":"{id}","url":"http://{host}/path/{id}?q=1","title":"Page {id}","startedAt":5}}}}"#
    )
}

/// One that failed.
pub fn failed(id: &str, host: &str) -> String {
    failed_of(id, host, None)
}

pub fn failed_of(id: &str, host: &str, account: Option<(&str, &str)>) -> String {
    line(id, host, account).replace(
        r#""state":"waiting","reason":null"#,
        r#""state":"failed","reason":{"code":"rejected_by_backend","field":"url","message":"not liked","status":400}"#,
    )
}

/// Compares with what is kept, times and numbers that differ from run to run taken out.
#[macro_export]
macro_rules! same {
    ($said:expr) => {
        insta::with_settings!({
            filters => vec![
                (r"http://127\.0\.0\.1:\d+", "[BACKEND]"),
                (r"[0-9a-f]{24}", "[REF]"),
                (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
                (r#""metrics":(null|\{[^}]*\})"#, "\"metrics\":[METRICS]"),
                (r"Next       .*", "Next       [WHEN]"),
                (r"(at|until) \d\d:\d\d( on [0-9-]+)?", "$1 [CLOCK]"),
                (r"another \d+ (s|min|h)", "another [SPAN]"),
                (r"just now|\d+ (s|min|h|days) ago", "[AGO]"),
                (r"in \d+ (s|min|h)\b", "in [SPAN]"),
                (r"at \d\d:\d\d", "at [CLOCK]"),
                (r"\d+(\.\d)? (bytes|kB|MB|GB)", "[SIZE]"),
                (r#""(bytes)":[0-9.]+"#, "\"$1\":[N]"),
            ],
            prepend_module_to_snapshot => false,
        }, { insta::assert_snapshot!($said) })
    };
}
