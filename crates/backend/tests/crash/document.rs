//! schemathesis asks a running backend everything its OpenAPI document allows, and much that it does not: no 5xx, no
//! answer that the document does not know, nothing in the log that is an error. Of the batches it makes up, a good share
//! must have been stored: what is refused at the door never meets a database.
//!
//! It comes from the Python registry: `cargo xtask test` puts it into `target/tools`, once. Without it these tests say so
//! and pass; `HEYHO_REQUIRE_SCHEMATHESIS=1` makes that a failure. `HEYHO_EXAMPLES` generated requests an operation (4
//! when not set, 12 on PostgreSQL) besides those that cover the document, from `HEYHO_SEED`.

use crate::program::Program;
use crate::smtp::Smtp;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Nobody waits: it asks more in a minute than anybody in an hour.
const SETTINGS: &str = "[limits]
    user_requests = { burst = 1000000, per_minute = 1000000 }
    network_requests = { burst = 1000000, per_minute = 1000000 }
    network_sign_ins = { burst = 1000000, per_minute = 1000000 }
    address_sign_ins = { burst = 1000000, per_minute = 1000000 }
    address_mails = { burst = 1000000, per_minute = 1000000 }
    address_mails_a_day = 1000000";

/// About half of what it asks is meant to be wrong.
const STORED: f64 = 0.25;

/// What ends the session it is asked with.
const ENDING: &str = "(logout|auth/password|users/me$)";

/// In the target directory; that of the broken controls lies in it.
fn schemathesis() -> Option<PathBuf> {
    let mut targets = Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors();
    let program = targets.find_map(|target| {
        let program = target.join("tools/schemathesis/bin/schemathesis");
        program.exists().then_some(program)
    });
    if program.is_some() {
        return program;
    }
    let required = std::env::var_os("HEYHO_REQUIRE_SCHEMATHESIS").is_some();
    assert!(
        !required,
        "HEYHO_REQUIRE_SCHEMATHESIS is set, but there is no tools/schemathesis in the target directory"
    );
    println!("skipped: there is no schemathesis; `cargo xtask test backend` fetches it");
    None
}

fn number(name: &str, usual: u64) -> String {
    std::env::var(name).unwrap_or_else(|_| usual.to_string())
}

/// How much of one operation.
#[derive(Clone, Copy)]
struct Asked {
    phases: &'static str,
    /// Generated requests, where `HEYHO_EXAMPLES` says nothing else.
    examples: u64,
}

/// One run; what it says at its end. It must find nothing.
fn ask(tool: &Path, work: &Path, base: &str, token: &str, which: [&str; 2], how: Asked) -> String {
    let mut command = Command::new(tool);
    command.current_dir(work).arg("run").arg(format!("{base}/api/v1/openapi.json"));
    command.args(["--header", &format!("Authorization: Bearer {token}")]).args(which);
    command.args([
        "--max-examples",
        &number("HEYHO_EXAMPLES", how.examples),
        "--seed",
        &number("HEYHO_SEED", 1),
    ]);
    // one is enough to be red, and the first is told whole
    command.args(["--max-failures", "1"]);
    command.args(["--phases", how.phases, "--generation-database", "none"]);
    command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]);
    command.args(["--checks", "response_schema_conformance", "--warnings", "off", "--no-color"]);
    let output = command.output().expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Somebody new, with a confirmed address.
async fn sign_in(base: &str, smtp: &mut Smtp, name: &str) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |route: &str, body: serde_json::Value| -> serde_json::Value {
        let request = http.post(format!("{base}/api/v1/{route}")).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    };
    let email = format!("{name}@example.org");
    let who = json!({"email": email, "password": "correct horse"});
    post("auth/register", who.clone()).await;
    let code = loop {
        let mail = smtp.next().await;
        // others were registered meanwhile
        if mail.to == email {
            break mail.code();
        }
    };
    post("verify-email", json!({"email": email, "code": code})).await;
    post("auth/login", who).await["data"]["access_token"].as_str().unwrap().to_owned()
}

/// What became of the batches that were asked: counted by the program, which names each refusal in its answer too.
#[derive(Debug)]
struct Batches {
    saved: f64,
    refused: f64,
    visits: u64,
    aggregates: u64,
}

impl Batches {
    fn share(&self) -> f64 {
        self.saved / (self.saved + self.refused)
    }
}

async fn batches_saved(base: &str) -> Batches {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = http.get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap();
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |number| number.parse::<f64>().unwrap())
    };
    Batches {
        saved: of(r#"heyho_sync_batches_total{outcome="saved"}"#),
        refused: of(r#"heyho_sync_batches_total{outcome="refused"}"#),
        visits: of(r#"heyho_sync_records_total{kind="pageVisit",outcome="held"}"#) as u64,
        aggregates: of(r#"heyho_sync_records_total{kind="tabAggregate",outcome="held"}"#) as u64,
    }
}

async fn nothing_undocumented_is_answered(database: &str, store: &str, how: Asked) {
    let Some(tool) = schemathesis() else { return };
    let work = tempfile::tempdir().unwrap();
    let mut smtp = Smtp::start(None, 0).await;
    let (settings, log) = (work.path().join("backend.toml"), work.path().join("log"));
    let (server, errors) = (smtp.address, std::fs::File::create(&log).unwrap());
    std::fs::write(&settings, SETTINGS).unwrap();
    let program = Program::start_with(database, move |command| {
        command.arg("--config").arg(settings).env("HEYHO_LOG", "warn");
        command.env("HEYHO_SMTP_URL", format!("smtp://{server}")).env("HEYHO_MAIL_FROM", "a@example.org");
        command.stderr(errors);
    })
    .await;
    let base = program.base().to_owned();
    for (name, which) in
        [("one", ["--exclude-path-regex", ENDING]), ("two", ["--include-path-regex", ENDING])]
    {
        let token = sign_in(&base, &mut smtp, name).await;
        let (tool, folder, base) = (tool.clone(), work.path().to_owned(), base.clone());
        let said = tokio::task::spawn_blocking(move || ask(&tool, &folder, &base, &token, which, how))
            .await
            .unwrap();
        let cases = said.lines().filter(|line| line.contains(" generated, "));
        let cases: Vec<&str> = cases.map(str::trim).collect();
        println!("figures: schemathesis on {store}: {}", cases.join(", "));
    }
    let saved = batches_saved(&base).await;
    println!("figures: schemathesis on {store}: {saved:?}");
    assert!(saved.share() >= STORED && saved.visits > 0 && saved.aggregates > 0, "{saved:?}");
    drop(program);
    let log = std::fs::read_to_string(log).unwrap();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_sqlite_is_answered_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
    nothing_undocumented_is_answered(
        &url,
        "SQLite",
        Asked { phases: "examples,coverage,fuzzing", examples: 4 },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_postgres_is_answered_as_documented() {
    let Some(url) = crate::postgres::new_database().await else { return };
    // what covers the document asks the same of both; the store shows in what is generated
    nothing_undocumented_is_answered(&url, "PostgreSQL", Asked { phases: "examples,fuzzing", examples: 12 })
        .await;
}
