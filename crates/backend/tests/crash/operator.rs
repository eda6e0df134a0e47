//! What an operator does beside a running backend, with registration closed.

use crate::program::{Client, Program};
use reqwest::Method;
use serde_json::json;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs a command with a password on its standard input: how it ended, and what it said.
fn run(database: &str, arguments: [&str; 2], password: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_heyho-backend"))
        .args(arguments)
        .env("HEYHO_DATABASE_URL", database)
        .env_remove("HEYHO_JWT_SECRET")
        .env_remove("HEYHO_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(!log.contains("skipping"), "what PostgreSQL finds there already is no news: {log}");
    let said = if ended.status.success() { String::from_utf8(ended.stdout).unwrap() } else { log };
    (ended.status.code(), said)
}

async fn login(client: &Client, password: &str) -> (u16, String) {
    let who = json!({"email": "ada@example.org", "password": password});
    let (status, answer) = client.ask(Method::POST, "auth/login", "", &who).await.unwrap();
    (status, answer["data"]["access_token"].as_str().unwrap_or_default().to_owned())
}

async fn an_operator_makes_an_account_and_gives_it_a_new_password(database: &str) {
    let closed = |command: &mut Command| {
        command.env("HEYHO_REGISTRATION", "closed");
    };
    let program = Program::start_with(database, closed).await;
    let client = program.client();
    let who = json!({"email": "ada@example.org", "password": "correct horse"});
    let (status, answer) = client.ask(Method::POST, "auth/register", "", &who).await.unwrap();
    assert_eq!((status, &answer["code"]), (403, &json!("REGISTRATION_CLOSED")));

    let (status, said) = run(database, ["add-user", "Ada@Example.org"], "correct horse");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.starts_with("ada@example.org has an account now, in "), "{said}");
    assert!(!said.contains("postgres://"), "which may hold a password: {said}");
    let (status, access) = login(&client, "correct horse").await;
    assert_eq!(status, 200);
    let (status, said) = run(database, ["add-user", "ada@example.org"], "correct horse");
    assert!(status == Some(1) && said.contains("reset-password"), "{said}");

    for (email, password, word) in [
        ("ada@example.org", "short", "8 to 1024"),
        ("ada", "battery staple", "ada@example.org"),
        ("bob@example.org", "battery staple", "bob@example.org"),
    ] {
        let (status, said) = run(database, ["reset-password", email], password);
        assert!(status == Some(1) && said.contains(word) && !said.contains(password), "{said}");
    }
    let (status, said) = run(database, ["add-user", "eve@example.org"], "");
    assert!(status == Some(1) && said.contains("standard input"), "{said}");
    let me = async || client.ask(Method::GET, "auth/me", &access, &json!(null)).await.unwrap().0;
    assert_eq!(me().await, 200);
    let (status, said) = run(database, ["reset-password", "ada@example.org"], "battery staple");
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(me().await, 401);
    assert_eq!(
        (login(&client, "correct horse").await.0, login(&client, "battery staple").await.0),
        (401, 200)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
    an_operator_makes_an_account_and_gives_it_a_new_password(&url).await;
    let made = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(!made.map(|name| name.into_string().unwrap()).any(|name| name == "jwt-secret"), "it needs none");
    // A slip in the name makes no other database.
    let (status, said) = run(&format!("{url}s"), ["add-user", "bob@example.org"], "correct horse");
    assert!(status == Some(1) && said.contains("heyho.dbs") && said.contains("--database"), "{said}");
    assert!(!folder.path().join("heyho.dbs").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_postgres() {
    let Some(url) = crate::postgres::new_database().await else { return };
    an_operator_makes_an_account_and_gives_it_a_new_password(&url).await;
}
