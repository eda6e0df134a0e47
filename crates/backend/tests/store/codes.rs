//! Codes: hashed, for a while, for a few attempts, once.

use crate::support::{Asked, NOW, on_each_store};
use heyho_backend::store::{Code, NewSession, PasswordHash, Purpose, SessionId, UserId};

on_each_store!(
    attempts_at_once_are_counted_like_attempts_one_by_one,
    a_code_is_spent_by_what_it_allows,
    a_code_is_for_one_address_one_purpose_and_a_while,
    a_reset_ends_every_session_and_confirms_the_address,
);

const EMAIL: &str = "ada@example.org";

async fn put(asked: &Asked, user: UserId, purpose: Purpose, hash: &str) {
    let code = Code { user, purpose, hash: PasswordHash(hash.into()), now: NOW, expires_at: NOW + 100 };
    asked.store.put_code(code).await.unwrap();
}

async fn tried(asked: &Asked, email: &str, purpose: Purpose, now: i64) -> Option<String> {
    asked.store.try_code(email, purpose, now).await.unwrap().map(|tried| tried.hash.0)
}

async fn attempts_at_once_are_counted_like_attempts_one_by_one(asked: Asked) {
    let ada = asked.user_called(EMAIL).await;
    put(&asked, ada, Purpose::ConfirmAddress, "h1").await;
    let all = (0..32).map(|_| tried(&asked, EMAIL, Purpose::ConfirmAddress, NOW));
    let allowed = futures_util::future::join_all(all).await.into_iter().flatten().count();
    assert_eq!(allowed, 5);
    // another code has attempts of its own
    put(&asked, ada, Purpose::ConfirmAddress, "h2").await;
    assert_eq!(tried(&asked, EMAIL, Purpose::ConfirmAddress, NOW).await.as_deref(), Some("h2"));
}

async fn a_code_is_spent_by_what_it_allows(asked: Asked) {
    let ada = asked.user_called(EMAIL).await;
    put(&asked, ada, Purpose::ConfirmAddress, "h").await;
    let confirm =
        async |hash: &str| asked.store.confirm_address(ada, &PasswordHash(hash.into()), NOW).await.unwrap();
    assert!(!confirm("another").await);
    let both = tokio::join!(confirm("h"), confirm("h"));
    assert!(both.0 != both.1, "{both:?}");
    assert!(asked.store.credentials(EMAIL).await.unwrap().unwrap().confirmed);
    assert_eq!(tried(&asked, EMAIL, Purpose::ConfirmAddress, NOW).await, None);
}

async fn a_code_is_for_one_address_one_purpose_and_a_while(asked: Asked) {
    let ada = asked.user_called(EMAIL).await;
    asked.user_called("bob@example.org").await;
    put(&asked, ada, Purpose::ConfirmAddress, "confirm").await;
    put(&asked, ada, Purpose::ResetPassword, "reset").await;
    assert_eq!(tried(&asked, EMAIL, Purpose::ConfirmAddress, NOW).await.as_deref(), Some("confirm"));
    assert_eq!(tried(&asked, EMAIL, Purpose::ResetPassword, NOW + 99).await.as_deref(), Some("reset"));
    assert_eq!(tried(&asked, EMAIL, Purpose::ResetPassword, NOW + 100).await, None);
    assert_eq!(tried(&asked, "bob@example.org", Purpose::ResetPassword, NOW).await, None);
    assert_eq!(asked.store.purge(NOW + 100).await.unwrap(), 2);
    // for nobody none is kept
    put(&asked, UserId(uuid::Uuid::from_u128(u128::MAX)), Purpose::ResetPassword, "x").await;
}

async fn a_reset_ends_every_session_and_confirms_the_address(asked: Asked) {
    let ada = asked.user_called(EMAIL).await;
    let id = SessionId(uuid::Uuid::from_u128(5));
    let session = NewSession { id, user: ada, token: [1; 32], now: NOW, expires_at: NOW + 1_000 };
    assert!(asked.store.open_session(session).await.unwrap());
    put(&asked, ada, Purpose::ResetPassword, "h").await;
    let reset = async |code: &str, new: &str| {
        let (code, new) = (PasswordHash(code.into()), PasswordHash(new.into()));
        asked.store.reset_password(ada, &code, new, NOW).await.unwrap()
    };
    assert!(!reset("wrong", "first").await);
    assert!(asked.store.session_user(id, NOW).await.unwrap().is_some());
    assert!(reset("h", "second").await && !reset("h", "third").await);
    let known = asked.store.credentials(EMAIL).await.unwrap().unwrap();
    assert_eq!((known.password_hash.0.as_str(), known.confirmed), ("second", true));
    assert!(asked.store.session_user(id, NOW).await.unwrap().is_none());
}
