//! Killed while a forgotten password is replaced by a code: either nothing has happened and the code still counts, or all
//! of it has: the new password signs in, the old one does not, and every session before it is over. `HEYHO_KILLS`, else 6.

use crate::kill::kills;
use crate::program::{Client, Program, count};
use crate::smtp::Smtp;
use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const ADA: &str = "ada@example.org";

fn with_mail(smtp: SocketAddr) -> impl FnOnce(&mut Command) + Send + 'static {
    move |command| {
        command.env("HEYHO_SMTP_URL", format!("smtp://user:secret@{smtp}"));
        command.env("HEYHO_MAIL_FROM", "HeyHo <hey@example.org>");
    }
}

async fn login(client: &Client, password: &str) -> (u16, Value) {
    let who = json!({"email": ADA, "password": password});
    client.ask(Method::POST, "auth/login", "", &who).await.expect("it is up")
}

async fn killed_while_a_password_is_reset(database: &str) {
    // From before there was mail: her address needs no code.
    let mut program = Program::start(database).await;
    program.client().register().await;
    let mut smtp = Smtp::start(None, 0).await;
    let mut old = "correct horse".to_owned();
    let (mut heard, mut done_unheard, mut undone) = (0, 0, 0);
    for kill in 0..kills() {
        program.kill_and_start_with(with_mail(smtp.address)).await;
        let client = program.client();
        let (status, before) = login(&client, &old).await;
        assert_eq!(status, 200, "{before}");
        let asked = client.ask(Method::POST, "reset-password-request", "", &json!({"email": ADA})).await;
        assert_eq!(asked.map(|(status, _)| status), Some(200));
        let (code, new) = (smtp.next().await.code(), format!("battery staple {kill}"));
        let reset = json!({"email": ADA, "code": code, "new_password": new});
        let resetting = tokio::spawn({
            let (client, reset) = (client.clone(), reset.clone());
            async move { client.ask(Method::POST, "reset-password", "", &reset).await }
        });
        // An arbitrary moment of it; and every other time the moment in which the code is gone.
        if kill % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(kill as u64 * 7 % 50)).await;
        } else {
            let codes = "SELECT count(*) FROM codes";
            while count(database, codes).await > 0 && !resetting.is_finished() {}
        }
        program.kill_and_start_with(with_mail(smtp.address)).await;
        let answer = resetting.await.unwrap();
        assert!(answer.as_ref().is_none_or(|(status, _)| *status == 200), "{answer:?}");
        // Whoever heard nothing asks again, with the same code.
        let client = program.client();
        if answer.is_none() {
            let (status, again) = client.ask(Method::POST, "reset-password", "", &reset).await.unwrap();
            match status {
                200 => undone += 1,
                _ => {
                    assert_eq!((status, &again["code"]), (400, &json!("INVALID_CODE")), "{again}");
                    done_unheard += 1;
                }
            }
        } else {
            heard += 1;
        }
        let by_old = login(&client, &old).await;
        assert_eq!(
            (by_old.0, login(&client, &new).await.0),
            (401, 200),
            "kill {kill}: {answer:?}, {by_old:?}"
        );
        let refresh = json!({"refresh_token": before["data"]["refresh_token"]});
        let (status, answer) = client.ask(Method::POST, "auth/refresh", "", &refresh).await.unwrap();
        assert_eq!(status, 401, "a session from before goes on: {answer}");
        old = new;
    }
    println!(
        "figures: {} kills within a reset: {undone} undone, {done_unheard} done unheard, {heard} heard",
        kills()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_on_sqlite_happens_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
    killed_while_a_password_is_reset(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_on_postgres_happens_whole_or_not_at_all() {
    let Some(url) = crate::postgres::new_database().await else { return };
    killed_while_a_password_is_reset(&url).await;
}
