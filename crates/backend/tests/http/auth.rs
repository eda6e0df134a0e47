//! Registration, sign-in, refresh, sign-out.

use crate::support::{Account, Answer, Backend, on_each_store};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::json;

on_each_store!(
    registers_and_signs_in,
    refuses_what_is_no_registration,
    says_the_same_whichever_was_wrong,
    a_token_ends_with_its_time_and_with_its_session,
    refresh_tokens_rotate_and_a_spent_one_ends_the_family,
    a_lost_refresh_answer_may_be_asked_for_again,
    a_spent_token_that_was_forgotten_still_ends_its_session,
    a_token_from_before_tokens_named_their_session_goes_on,
);

async fn registers_and_signs_in(backend: Backend) {
    for prefix in ["/api/v1/auth", "/api/auth"] {
        let email = format!("ada{}@example.org", prefix.len());
        let body = json!({"email": format!(" {} ", email.to_uppercase()), "password": "correct horse", "first_name": "Ada"});
        let answer = backend.post(&format!("{prefix}/register"), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.body["data"]["token_type"], "Bearer");
        assert_eq!(answer.body["data"]["expires_in"], 900);
        assert_eq!(answer.body["data"]["user"]["email"], email);

        let body = json!({"email": email, "password": "correct horse"});
        let again = backend.post(&format!("{prefix}/register"), body.clone()).await;
        assert_eq!(again.code(), (409, "EMAIL_TAKEN"));
        let signed_in = Account::from(&backend.post(&format!("{prefix}/login"), body).await.ok());
        let me = backend.get(&format!("{prefix}/me"), &signed_in.access).await.ok();
        assert_eq!(me["data"]["user"], json!({"id": signed_in.id, "email": email}));
    }
}

async fn refuses_what_is_no_registration(backend: Backend) {
    for (body, code) in [
        (json!({"email": "ada", "password": "correct horse"}), "VALIDATION_ERROR"),
        (json!({"email": "ada@example.org", "password": "seven 7"}), "VALIDATION_ERROR"),
        (json!({"email": "ada@example.org"}), "VALIDATION_ERROR"),
        (json!({}), "VALIDATION_ERROR"),
        (json!([]), "INVALID_JSON"),
        (json!({"email": 5, "password": "correct horse"}), "INVALID_JSON"),
        (json!({"email": "a@example.org", "password": "x".repeat(70_000)}), "PAYLOAD_TOO_LARGE"),
        (json!({"email": "a@example.org", "password": "x".repeat(1_025)}), "VALIDATION_ERROR"),
    ] {
        let answer = backend.post("/api/v1/auth/register", body.clone()).await;
        assert_eq!(answer.code().1, code, "{:.80}", body.to_string());
        assert!(answer.status.is_client_error());
    }
    assert_eq!(backend.count("SELECT count(*) FROM users").await, 0);
}

async fn says_the_same_whichever_was_wrong(backend: Backend) {
    backend.register("ada@example.org").await;
    let login = async |email: &str, password: &str| {
        backend.post("/api/v1/auth/login", json!({"email": email, "password": password})).await
    };
    let wrong_password = login("ada@example.org", "correct house").await;
    let nobody = login("nobody@example.org", "correct horse").await;
    let impossible = login("no address", &"x".repeat(2_000)).await;
    assert_eq!(wrong_password.code(), (401, "INVALID_CREDENTIALS"));
    assert_eq!(wrong_password.body, nobody.body);
    assert_eq!(wrong_password.body, impossible.body);
    assert_eq!(login("ADA@example.org", "correct horse").await.status, 200);
}

async fn a_token_ends_with_its_time_and_with_its_session(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let me = "/api/v1/auth/me";
    assert_eq!(backend.get(me, &ada.access).await.status, 200);
    assert_eq!(backend.get(me, "nonsense").await.code(), (401, "UNAUTHORIZED"));
    assert_eq!(backend.get(me, &ada.refresh).await.code(), (401, "UNAUTHORIZED"));

    backend.clock.advance(15 * 60 * 1_000);
    assert_eq!(backend.get(me, &ada.access).await.code(), (401, "UNAUTHORIZED"));

    let again = Account::from(&refresh(&backend, &ada.refresh).await.ok());
    assert_eq!(backend.get(me, &again.access).await.status, 200);
    let out = backend.post_as(&again.access, "/api/v1/auth/logout", json!({})).await;
    assert_eq!(out.status, 204);
    assert_eq!(backend.get(me, &again.access).await.code(), (401, "UNAUTHORIZED"));
    assert_eq!(refresh(&backend, &again.refresh).await.code(), (401, "UNAUTHORIZED"));
}

async fn refresh_tokens_rotate_and_a_spent_one_ends_the_family(backend: Backend) {
    let first = backend.register("ada@example.org").await;
    let other_device = {
        let body = json!({"email": "ada@example.org", "password": "correct horse"});
        Account::from(&backend.post("/api/v1/auth/login", body).await.ok())
    };
    let second = Account::from(&refresh(&backend, &first.refresh).await.ok());
    assert_ne!(second.refresh, first.refresh);
    let third = Account::from(&refresh(&backend, &second.refresh).await.ok());

    // the first is not the immediately previous one, so not even the grace helps it
    assert_eq!(refresh(&backend, &first.refresh).await.code(), (401, "UNAUTHORIZED"));
    assert_eq!(refresh(&backend, &third.refresh).await.code(), (401, "UNAUTHORIZED"));
    assert_eq!(backend.get("/api/v1/auth/me", &third.access).await.code(), (401, "UNAUTHORIZED"));
    assert_eq!(refresh(&backend, &other_device.refresh).await.status, 200);
    assert_eq!(refresh(&backend, "never issued").await.code(), (401, "UNAUTHORIZED"));
    let missing = backend.post("/api/v1/auth/refresh", json!({})).await;
    assert_eq!(missing.code(), (400, "VALIDATION_ERROR"));
}

async fn a_lost_refresh_answer_may_be_asked_for_again(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let lost = Account::from(&refresh(&backend, &ada.refresh).await.ok());
    backend.clock.advance(30_000);
    let again = Account::from(&refresh(&backend, &ada.refresh).await.ok());
    assert_eq!(again.refresh, lost.refresh);

    backend.clock.advance(1);
    assert_eq!(refresh(&backend, &ada.refresh).await.code(), (401, "UNAUTHORIZED"));
    assert_eq!(refresh(&backend, &lost.refresh).await.code(), (401, "UNAUTHORIZED"));
}

async fn a_spent_token_that_was_forgotten_still_ends_its_session(backend: Backend) {
    let first = backend.register("ada@example.org").await;
    let second = Account::from(&refresh(&backend, &first.refresh).await.ok());
    backend.execute("DELETE FROM refresh_tokens WHERE spent_at IS NOT NULL").await;
    assert_eq!(backend.get("/api/v1/auth/me", &second.access).await.status, 200);
    assert_eq!(refresh(&backend, &first.refresh).await.code(), (401, "UNAUTHORIZED"));
    assert_eq!(backend.get("/api/v1/auth/me", &second.access).await.code(), (401, "UNAUTHORIZED"));
    assert_eq!(refresh(&backend, &second.refresh).await.code(), (401, "UNAUTHORIZED"));
}

async fn a_token_from_before_tokens_named_their_session_goes_on(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    // it was the first 32 bytes alone
    let bytes = B64.decode(&ada.refresh).unwrap();
    let next = Account::from(&refresh(&backend, &B64.encode(&bytes[..32])).await.ok());
    assert!(next.refresh.len() > 43);
    assert_eq!(backend.get("/api/v1/auth/me", &next.access).await.status, 200);
    refresh(&backend, &next.refresh).await.ok();
}

async fn refresh(backend: &Backend, token: &str) -> Answer {
    backend.post("/api/v1/auth/refresh", json!({"refresh_token": token})).await
}
