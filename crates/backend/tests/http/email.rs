//! Codes by e-mail: confirming an address, a forgotten password. A real SMTP conversation with a server of this test.

use crate::smtp::Smtp;
use crate::support::{Account, Answer, Backend, on_each_store};
use heyho_backend::mail::MailSetting;
use serde_json::{Value, json};

on_each_store!(
    a_registration_waits_for_its_code,
    a_forgotten_password_is_replaced_by_code,
    a_code_is_for_one_purpose_and_works_once,
    a_code_ends_with_its_time_its_successor_and_its_attempts,
    nobody_learns_whether_an_address_has_an_account,
    accounts_from_before_need_no_code,
    a_code_is_nowhere_in_the_database,
    the_end_of_an_account_leaves_no_code,
);

const ADA: &str = "ada@example.org";

async fn with_mail(backend: &mut Backend) -> Smtp {
    with_mail_put_off(backend, 0).await
}

async fn with_mail_put_off(backend: &mut Backend, messages: usize) -> Smtp {
    let smtp = Smtp::start(None, messages).await;
    let url = format!("smtp://user:secret@{}", smtp.address);
    backend
        .reconfigure(|c| c.mail = Some(MailSetting::parse(&url, "HeyHo <hey@example.org>").unwrap()))
        .await;
    smtp
}

async fn post(backend: &Backend, route: &str, body: Value) -> Answer {
    backend.post(&format!("/api/v1/{route}"), body).await
}

async fn verify(backend: &Backend, code: &str) -> Answer {
    post(backend, "verify-email", json!({"email": ADA, "code": code})).await
}

async fn login(backend: &Backend, password: &str) -> Answer {
    post(backend, "auth/login", json!({"email": ADA, "password": password})).await
}

/// Registers Ada; the code that was sent to her.
async fn register(backend: &Backend, smtp: &mut Smtp) -> String {
    let answer = post(backend, "auth/register", json!({"email": ADA, "password": "correct horse"})).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let data = &answer.body["data"];
    assert_eq!((&data["verification_required"], &data["user"]["email"]), (&json!(true), &json!(ADA)));
    assert!(data["access_token"].is_null(), "no session before the code");
    let mail = smtp.next().await;
    assert_eq!(mail.to, ADA);
    mail.code()
}

async fn reset_code(backend: &Backend, smtp: &mut Smtp) -> String {
    assert_eq!(post(backend, "reset-password-request", json!({"email": ADA})).await.status, 200);
    smtp.next().await.code()
}

/// Another code of eight digits.
fn wrong(code: &str) -> String {
    code.chars().map(|c| if c == '0' { '1' } else { '0' }).collect()
}

async fn a_registration_waits_for_its_code(mut backend: Backend) {
    let mut smtp = with_mail(&mut backend).await;
    let features = backend.get("/api/v1/capabilities", "").await.ok()["features"].clone();
    assert!(features.as_array().unwrap().contains(&json!("email.verification")));

    let code = register(&backend, &mut smtp).await;
    assert_eq!(login(&backend, "correct horse").await.code(), (403, "EMAIL_NOT_VERIFIED"));
    // who does not know the password does not learn that it waits
    assert_eq!(login(&backend, "correct house").await.code(), (401, "INVALID_CREDENTIALS"));
    assert_eq!(verify(&backend, &wrong(&code)).await.code(), (400, "INVALID_CODE"));
    assert_eq!(login(&backend, "correct horse").await.code(), (403, "EMAIL_NOT_VERIFIED"));

    // as people type it
    let typed = format!(" {} {}", &code[..4], &code[4..]);
    assert_eq!(verify(&backend, &typed).await.ok()["success"], true);
    let ada = Account::from(&login(&backend, "correct horse").await.ok());
    assert_eq!(backend.get("/api/v1/auth/me", &ada.access).await.status, 200);
}

async fn a_forgotten_password_is_replaced_by_code(mut backend: Backend) {
    let before = backend.register(ADA).await;
    let mut smtp = with_mail(&mut backend).await;
    let code = reset_code(&backend, &mut smtp).await;
    let reset = async |code: &str, new: &str| {
        post(&backend, "reset-password", json!({"email": ADA, "code": code, "new_password": new})).await
    };
    assert_eq!(reset(&code, "short").await.code(), (400, "VALIDATION_ERROR"));
    assert_eq!(reset(&wrong(&code), "battery staple").await.code(), (400, "INVALID_CODE"));
    assert_eq!(login(&backend, "correct horse").await.status, 200);

    assert_eq!(reset(&code, "battery staple").await.status, 200);
    assert_eq!(backend.get("/api/v1/auth/me", &before.access).await.code(), (401, "UNAUTHORIZED"));
    let refresh = post(&backend, "auth/refresh", json!({"refresh_token": before.refresh})).await;
    assert_eq!(refresh.code(), (401, "UNAUTHORIZED"));
    assert_eq!(login(&backend, "correct horse").await.code(), (401, "INVALID_CREDENTIALS"));
    assert_eq!(login(&backend, "battery staple").await.status, 200);
}

async fn a_code_is_for_one_purpose_and_works_once(mut backend: Backend) {
    let mut smtp = with_mail(&mut backend).await;
    let confirming = register(&backend, &mut smtp).await;
    let body = json!({"email": ADA, "code": confirming, "new_password": "battery staple"});
    assert_eq!(post(&backend, "reset-password", body).await.code(), (400, "INVALID_CODE"));

    // racing twins: one of them spends it
    let racing = futures_util::future::join_all((0..4).map(|_| verify(&backend, &confirming))).await;
    assert_eq!(racing.iter().filter(|a| a.status == 200).count(), 1, "{racing:?}");
    assert_eq!(verify(&backend, &confirming).await.code(), (400, "INVALID_CODE"));

    // a reset also proves the address
    backend.clock.advance(10 * 60_000);
    let code = reset_code(&backend, &mut smtp).await;
    assert_eq!(verify(&backend, &code).await.code(), (400, "INVALID_CODE"));
}

async fn a_code_ends_with_its_time_its_successor_and_its_attempts(mut backend: Backend) {
    let mut smtp = with_mail(&mut backend).await;
    let first = register(&backend, &mut smtp).await;
    let again = async |smtp: &mut Smtp| {
        backend.clock.advance(10 * 60_000);
        assert_eq!(post(&backend, "resend-verification", json!({"email": ADA})).await.status, 200);
        smtp.next().await.code()
    };
    let second = again(&mut smtp).await;
    assert_eq!(verify(&backend, &first).await.code(), (400, "INVALID_CODE"), "it has a successor");

    // the first one was one attempt; the right code after five is too late
    for _ in 0..4 {
        assert_eq!(verify(&backend, &wrong(&second)).await.code(), (400, "INVALID_CODE"));
    }
    assert_eq!(verify(&backend, &second).await.code(), (400, "INVALID_CODE"), "no attempt is left");

    let third = again(&mut smtp).await;
    backend.clock.advance(15 * 60_000);
    assert_eq!(verify(&backend, &third).await.code(), (400, "INVALID_CODE"), "its time is over");
    let fourth = again(&mut smtp).await;
    backend.clock.advance(15 * 60_000 - 1);
    assert_eq!(verify(&backend, &fourth).await.status, 200);
}

async fn nobody_learns_whether_an_address_has_an_account(mut backend: Backend) {
    backend.register("known@example.org").await;
    let mut smtp = with_mail(&mut backend).await;
    for route in ["resend-verification", "reset-password-request"] {
        let ask = async |email: &str| post(&backend, route, json!({"email": email})).await;
        let (known, nobody) = (ask("known@example.org").await, ask("nobody@example.org").await);
        assert_eq!((known.status, &known.body), (nobody.status, &nobody.body));
    }
    for (route, body) in [
        ("verify-email", json!({"code": "12345678"})),
        ("reset-password", json!({"code": "12345678", "new_password": "battery staple"})),
    ] {
        let ask = async |email: &str| {
            let mut body = body.clone();
            body["email"] = json!(email);
            post(&backend, route, body).await
        };
        let (known, nobody) = (ask("known@example.org").await, ask("nobody@example.org").await);
        assert_eq!(known.code(), (400, "INVALID_CODE"));
        assert_eq!(known.body, nobody.body);
    }
    // asking too often is refused alike
    let mut statuses = Vec::new();
    for email in ["known@example.org", "nobody@example.org"] {
        for _ in 0..3 {
            let answer = post(&backend, "reset-password-request", json!({"email": email})).await;
            statuses.push((answer.status.as_u16(), answer.body["code"].clone()));
        }
    }
    assert_eq!(statuses[..3], statuses[3..]);
    assert_eq!(statuses[2], (429, json!("RATE_LIMITED")));
    // when all is sent: one message, to the one who has an account, and none to confirm what is confirmed
    backend.restart().await;
    for _ in 0..2 {
        let mail = smtp.next().await;
        assert_eq!(mail.to, "known@example.org");
        assert!(mail.text.contains("new password"), "{}", mail.text);
    }
    assert!(smtp.is_empty());
}

async fn accounts_from_before_need_no_code(mut backend: Backend) {
    backend.register(ADA).await;
    for route in ["verify-email", "resend-verification", "reset-password-request"] {
        assert_eq!(post(&backend, route, json!({"email": ADA, "code": "1"})).await.code(), (404, "NO_MAIL"));
    }
    let features = backend.get("/api/v1/capabilities", "").await.ok()["features"].clone();
    assert!(!features.as_array().unwrap().contains(&json!("email.verification")));
    let _smtp = with_mail(&mut backend).await;
    assert_eq!(login(&backend, "correct horse").await.status, 200);
}

async fn a_code_is_nowhere_in_the_database(mut backend: Backend) {
    let mut smtp = with_mail(&mut backend).await;
    register(&backend, &mut smtp).await;
    assert_eq!(backend.count("SELECT count(*) FROM codes WHERE hash LIKE '$argon2id$%'").await, 1);
    // what is past its time is forgotten
    backend.clock.advance(15 * 60_000);
    backend.restart().await;
    let gone = async {
        while backend.count("SELECT count(*) FROM codes").await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("it was not forgotten");
}

async fn the_end_of_an_account_leaves_no_code(mut backend: Backend) {
    let ada = backend.register(ADA).await;
    backend.register("bob@example.org").await;
    let mut smtp = with_mail(&mut backend).await;
    reset_code(&backend, &mut smtp).await;
    assert_eq!(
        post(&backend, "reset-password-request", json!({"email": "bob@example.org"})).await.status,
        200
    );
    smtp.next().await;
    assert_eq!(backend.count("SELECT count(*) FROM codes").await, 2);
    assert_eq!(backend.delete("/api/v1/users/me", &ada.access).await.status, 204);
    assert_eq!(backend.count("SELECT count(*) FROM codes").await, 1);
    let bobs =
        "SELECT count(*) FROM codes JOIN users ON users.id = codes.user_id WHERE email = 'bob@example.org'";
    assert_eq!(backend.count(bobs).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_puts_mail_off_is_asked_again() {
    let mut backend = Backend::on_sqlite().await;
    let mut smtp = with_mail_put_off(&mut backend, 1).await;
    let code = register(&backend, &mut smtp).await;
    assert_eq!(verify(&backend, &code).await.status, 200);
}
