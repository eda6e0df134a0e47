//! Killed while people come, stay signed in and go; and killed while it makes its database. `HEYHO_KILLS`, else 6.
//!
//! Each person remembers what was answered. What was not is asked again, and must fit: a refresh is never refused, who
//! registered can sign in, who changed the password signs in with the new one only and ended every other session, who was
//! deleted cannot and left nothing.

use crate::kill::kills;
use crate::program::{Client, Program, batch};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

const PEOPLE_AT_ONCE: usize = 3;
const PASSWORD: &str = "correct horse";
const NEW_PASSWORD: &str = "battery staple";

/// Which node is up, and how many requests were begun.
struct Nodes {
    up: watch::Receiver<Client>,
    begun: watch::Sender<usize>,
}

impl Nodes {
    fn of(program: &Program) -> (watch::Sender<Client>, Nodes) {
        let (now_up, up) = watch::channel(program.client());
        (now_up, Nodes { up, begun: watch::channel(0).0 })
    }
}

/// Asks until there is an answer that is one: anything but a 5xx.
async fn ask(nodes: &Nodes, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
    let asking = async {
        loop {
            let node = nodes.up.borrow().clone();
            nodes.begun.send_modify(|begun| *begun += 1);
            match node.ask(method.clone(), path, token, &body).await {
                Some((status, answer)) if status < 500 => return (status, answer),
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), asking).await.expect("no answer ever came")
}

fn tokens(answer: &Value) -> (String, String) {
    let text = |name: &str| answer["data"][name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text("access_token"), text("refresh_token"))
}

/// A life: registered, signed in for a while, and for every other one the end. Whether the account is there at the end.
async fn live(nodes: &Nodes, email: &str, ends: bool) -> bool {
    let who = json!({"email": email, "password": PASSWORD});
    let (status, answer) = ask(nodes, Method::POST, "auth/register", "", who.clone()).await;
    let (mut access, mut refresh) = match status {
        201 => tokens(&answer),
        // the answer before was lost, the account was made
        409 => tokens(&ask(nodes, Method::POST, "auth/login", "", who.clone()).await.1),
        other => panic!("{other} {answer}"),
    };
    for _ in 0..2 {
        let (status, answer) =
            ask(nodes, Method::POST, "auth/refresh", "", json!({"refresh_token": refresh})).await;
        assert_eq!(status, 200, "a refresh that was asked again was refused: {answer}");
        (access, refresh) = tokens(&answer);
    }
    let elsewhere = tokens(&ask(nodes, Method::POST, "auth/login", "", who.clone()).await.1).1;
    let change = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let (status, answer) = ask(nodes, Method::POST, "auth/password", &access, change).await;
    // refused is the change that was not heard of
    let changed = status == 204 || answer["code"] == "INVALID_CREDENTIALS";
    assert!(changed, "{status} {answer}");
    assert_eq!(ask(nodes, Method::POST, "auth/login", "", who).await.0, 401);
    let who = json!({"email": email, "password": NEW_PASSWORD});
    assert_eq!(ask(nodes, Method::POST, "auth/login", "", who.clone()).await.0, 200);
    let elsewhere = json!({"refresh_token": elsewhere});
    assert_eq!(
        ask(nodes, Method::POST, "auth/refresh", "", elsewhere).await.0,
        401,
        "another session goes on"
    );
    let visits = serde_json::from_slice(&batch(email, 20)).unwrap();
    assert_eq!(ask(nodes, Method::POST, "data/sync", &access, visits).await.0, 200);
    if !ends {
        return true;
    }
    // a 401 is the end that was not heard of
    let (status, answer) = ask(nodes, Method::DELETE, "users/me", &access, Value::Null).await;
    assert!([204, 401].contains(&status), "{status} {answer}");
    assert_eq!(ask(nodes, Method::POST, "auth/login", "", who).await.0, 401);
    false
}

async fn killed_while_people_come_and_go(database: &str, count: &str) {
    let mut program = Program::start(database).await;
    let (now_up, nodes) = Nodes::of(&program);
    let (over, stop) = watch::channel(false);
    let lives = futures_util::future::join_all((0..PEOPLE_AT_ONCE).map(async |person| {
        let (mut staying, mut all) = (Vec::new(), 0);
        while !*stop.borrow() {
            let email = format!("p{person}n{all}@example.org");
            if live(&nodes, &email, all % 2 == 0).await {
                staying.push(email);
            }
            all += 1;
        }
        (staying, all)
    }));
    let killing = async {
        let mut begun = nodes.begun.subscribe();
        for kill in 0..kills() {
            // in the middle of some request or other: so many later, and an arbitrary moment after that one began
            let next = *begun.borrow() + 8 + kill % 5;
            begun.wait_for(|begun| *begun >= next).await.unwrap();
            tokio::time::sleep(Duration::from_millis(kill as u64 * 7 % 40)).await;
            program.kill_and_start().await;
            now_up.send_replace(program.client());
        }
        over.send_replace(true);
    };
    let (lives, ()) = tokio::join!(lives, killing);
    let all: usize = lives.iter().map(|(_, all)| all).sum();
    let staying: Vec<String> = lives.into_iter().flat_map(|(staying, _)| staying).collect();
    // buckets of sign-ins begin anew
    program.kill_and_start().await;
    let (_up, nodes) = Nodes::of(&program);
    for email in staying.iter().take(20) {
        let who = json!({"email": email, "password": NEW_PASSWORD});
        let access = tokens(&ask(&nodes, Method::POST, "auth/login", "", who).await.1).0;
        assert_eq!(program.client().stored(&access).await.len(), 20, "{email}");
    }
    // what was not deleted to its end goes when the program starts
    let left = async {
        while crate::program::count(database, count).await != staying.len() as i64 {
            tokio::task::yield_now().await;
        }
    };
    let left = tokio::time::timeout(Duration::from_secs(60), left).await;
    assert!(
        left.is_ok(),
        "{} accounts stay, {} are there",
        staying.len(),
        crate::program::count(database, count).await
    );
    println!(
        "figures: {} kills while {all} accounts came, {} stayed and 0 were lost",
        kills(),
        staying.len()
    );
}

/// Whose rows there are, in every table that has any.
const ACCOUNTS: &str = "SELECT count(*) FROM (
    SELECT id FROM users UNION SELECT user_id FROM feeds UNION SELECT user_id FROM sessions
    UNION SELECT user_id FROM page_visits UNION SELECT user_id FROM devices) AS everybody";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sqlite_backend_forgets_nobody_and_keeps_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
    killed_while_people_come_and_go(&url, ACCOUNTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_backend_forgets_nobody_and_keeps_nobody() {
    let Some(url) = crate::postgres::new_database().await else { return };
    killed_while_people_come_and_go(&url, ACCOUNTS).await;
}

/// At another moment each time, from before the first table to after the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_was_killed_while_it_made_its_database_starts() {
    for kill in 0..kills() as u64 {
        let later = Duration::from_millis(kill * 17);
        let folder = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite://{}", folder.path().join("heyho.db").display());
        for url in [Some(sqlite), crate::postgres::new_database().await].into_iter().flatten() {
            let program = Program::start_after_a_kill(&url, later).await;
            let token = program.client().register().await;
            let (status, answer) = program.client().sync(&token, "k", batch("b", 5), false).await.unwrap();
            assert_eq!(status, 200, "{answer}");
            assert_eq!(program.client().stored(&token).await.len(), 5);
        }
    }
}
