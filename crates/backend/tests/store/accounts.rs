//! Users and sessions.

use crate::support::{Asked, NOW, aggregate, batch, keyed, on_each_store, visit};
use heyho_backend::store::{
    Created, NewSession, NewUser, PasswordHash, Place, Presented, Rotation, Saved, SessionEnd, SessionId,
    UserId,
};
use uuid::Uuid;

on_each_store!(
    an_address_is_taken_once,
    a_token_is_spent_once_and_its_use_again_ends_the_family,
    a_session_ends_with_its_time_its_end_and_a_new_password,
    one_token_presented_at_once_has_one_successor,
    a_spent_token_that_was_forgotten_still_ends_the_family,
    an_account_that_is_deleted_leaves_nothing,
    a_new_password_by_the_operator_ends_all_sessions,
    an_account_that_is_deleted_while_its_batches_arrive_leaves_nothing,
);

const LIFE: i64 = 1_000_000;

fn hash(n: u8) -> [u8; 32] {
    [n; 32]
}

async fn open(asked: &Asked, user: UserId, n: u8) -> SessionId {
    let id = SessionId(Uuid::from_u128(u128::from(n) << 64 | user.0.as_u128()));
    let session = NewSession { id, user, token: hash(n), now: NOW, expires_at: NOW + LIFE };
    assert!(asked.store.open_session(session).await.unwrap());
    id
}

async fn rotate(asked: &Asked, token: u8, successor: u8, now: i64) -> Rotation {
    rotate_of(asked, None, token, successor, now).await
}

/// With a token that proves its session.
async fn rotate_of(
    asked: &Asked,
    session: Option<SessionId>,
    token: u8,
    successor: u8,
    now: i64,
) -> Rotation {
    let presented = Presented {
        token: hash(token),
        session,
        successor: hash(successor),
        successor_sealed: hash(successor ^ 0xff),
        now,
        expires_at: now + LIFE,
    };
    asked.store.rotate(presented).await.unwrap()
}

async fn alive(asked: &Asked, session: SessionId, now: i64) -> bool {
    asked.store.session_user(session, now).await.unwrap().is_some()
}

async fn an_address_is_taken_once(asked: Asked) {
    let ada = asked.user_called("ada@example.org").await;
    let again = NewUser {
        id: UserId(Uuid::from_u128(u128::MAX)),
        email: "ada@example.org".into(),
        password_hash: PasswordHash("another".into()),
        first_name: None,
        last_name: None,
        feed_epoch: "e".into(),
        confirmed_at: Some(NOW),
        now: NOW,
    };
    assert_eq!(asked.store.create_user(again).await.unwrap(), Created::EmailTaken);
    let known = asked.store.credentials("ada@example.org").await.unwrap().unwrap();
    assert_eq!((known.user.id, known.password_hash.0.as_str(), known.confirmed), (ada, "x", false));
    assert!(asked.store.credentials("bob@example.org").await.unwrap().is_none());
}

async fn a_token_is_spent_once_and_its_use_again_ends_the_family(asked: Asked) {
    let ada = asked.user().await;
    let session = open(&asked, ada, 1).await;
    assert!(matches!(rotate(&asked, 1, 2, NOW).await, Rotation::Rotated { user, .. } if user.id == ada));
    // the answer was lost: the same successor, for 30 s
    match rotate(&asked, 1, 9, NOW + 30_000).await {
        Rotation::Again { successor_sealed, .. } => assert_eq!(successor_sealed, hash(2 ^ 0xff)),
        other => panic!("{other:?}"),
    }
    // once the successor was used, no grace
    assert!(matches!(rotate(&asked, 2, 3, NOW + 30_000).await, Rotation::Rotated { .. }));
    assert!(alive(&asked, session, NOW).await);
    assert_eq!(rotate(&asked, 1, 9, NOW + 30_000).await, Rotation::Reused);
    assert!(!alive(&asked, session, NOW).await);
    assert_eq!(rotate(&asked, 3, 4, NOW + 30_000).await, Rotation::Unknown);
    assert_eq!(rotate(&asked, 77, 4, NOW).await, Rotation::Unknown);

    let session = open(&asked, ada, 11).await;
    rotate(&asked, 11, 12, NOW).await;
    assert_eq!(rotate(&asked, 11, 13, NOW + 30_001).await, Rotation::Reused);
    assert!(!alive(&asked, session, NOW).await);
}

async fn a_session_ends_with_its_time_its_end_and_a_new_password(asked: Asked) {
    let (ada, bob) = (asked.user().await, asked.user().await);
    let (one, two, three, bobs) = (
        open(&asked, ada, 1).await,
        open(&asked, ada, 2).await,
        open(&asked, ada, 3).await,
        open(&asked, bob, 4).await,
    );
    assert!(alive(&asked, one, NOW + LIFE - 1).await);
    assert!(!alive(&asked, one, NOW + LIFE).await);
    asked.store.end_session(one, SessionEnd::SignedOut, NOW).await.unwrap();
    assert!(!alive(&asked, one, NOW).await && alive(&asked, two, NOW).await);
    asked.store.change_password(ada, PasswordHash("new".into()), two, NOW).await.unwrap();
    assert!(alive(&asked, two, NOW).await && !alive(&asked, three, NOW).await);
    asked.store.end_all_sessions(ada, NOW).await.unwrap();
    assert!(!alive(&asked, two, NOW).await && alive(&asked, bobs, NOW).await);
    // what ended is forgotten, what lives is not
    assert_eq!(asked.store.purge(NOW).await.unwrap(), 3);
    assert!(alive(&asked, bobs, NOW).await);
}

async fn one_token_presented_at_once_has_one_successor(asked: Asked) {
    let ada = asked.user().await;
    open(&asked, ada, 1).await;
    let rotations = futures_util::future::join_all((2..18).map(|n| rotate(&asked, 1, n, NOW))).await;
    let rotated = rotations.iter().filter(|r| matches!(r, Rotation::Rotated { .. })).count();
    let again = rotations.iter().filter(|r| matches!(r, Rotation::Again { .. })).count();
    assert_eq!((rotated, again), (1, 15));
}

async fn a_spent_token_that_was_forgotten_still_ends_the_family(asked: Asked) {
    const HOUR: i64 = 60 * 60 * 1_000;
    let ada = asked.user().await;
    let session = open(&asked, ada, 1).await;
    for n in 1..6 {
        let presented = Presented {
            token: hash(n),
            session: Some(session),
            successor: hash(n + 1),
            successor_sealed: hash(0),
            now: NOW,
            expires_at: NOW + 100 * HOUR,
        };
        assert!(matches!(asked.store.rotate(presented).await.unwrap(), Rotation::Rotated { .. }));
    }
    assert_eq!(asked.store.purge(NOW + HOUR - 1).await.unwrap(), 0);
    assert_eq!(asked.store.purge(NOW + HOUR).await.unwrap(), 5);
    assert!(alive(&asked, session, NOW + HOUR).await);
    // one that proves nothing is nobody's
    assert_eq!(rotate(&asked, 2, 99, NOW + HOUR).await, Rotation::Unknown);
    assert!(alive(&asked, session, NOW + HOUR).await);
    assert_eq!(rotate_of(&asked, Some(session), 2, 99, NOW + HOUR).await, Rotation::Reused);
    assert!(!alive(&asked, session, NOW + HOUR).await);
    assert_eq!(rotate_of(&asked, Some(session), 3, 99, NOW + HOUR).await, Rotation::Unknown);
}

async fn an_account_that_is_deleted_leaves_nothing(asked: Asked) {
    let (ada, bob) = (asked.user_called("ada@example.org").await, asked.user().await);
    let session = open(&asked, ada, 1).await;
    for user in [ada, bob] {
        let saved = keyed(batch(user, vec![visit("v")], vec![aggregate("a", Some("v"))]), "k", 1);
        asked.store.save(saved).await.unwrap();
    }
    let account = asked.store.account(ada).await.unwrap().unwrap();
    assert_eq!(
        (account.email.as_str(), account.version, account.feed_epoch.as_str()),
        ("ada@example.org", 1, "e1")
    );
    assert_eq!(
        (account.devices.len(), account.sessions.len(), account.last_name.as_deref()),
        (1, 1, Some("Ada"))
    );

    asked.store.delete_user(ada).await.unwrap();
    // who gave the password a moment before
    let id = SessionId(Uuid::from_u128(99));
    let late = NewSession { id, user: ada, token: hash(99), now: NOW, expires_at: NOW + LIFE };
    assert!(!asked.store.open_session(late).await.unwrap());
    assert!(asked.store.account(ada).await.unwrap().is_none());
    assert!(asked.store.credentials("ada@example.org").await.unwrap().is_none());
    assert!(!alive(&asked, session, NOW).await);
    assert_eq!(asked.page(ada, Place::start(), 10).await.records, []);
    assert_eq!(asked.all(bob, 10).await.len(), 2);
    asked.user_called("ada@example.org").await;
}

async fn a_new_password_by_the_operator_ends_all_sessions(asked: Asked) {
    let (ada, bob) = (asked.user_called("ada@example.org").await, asked.user().await);
    let (adas, bobs) = (open(&asked, ada, 1).await, open(&asked, bob, 2).await);
    let replace =
        async |email: &str| asked.store.replace_password(email, PasswordHash("new".into()), NOW).await;
    assert!(!replace("nobody@example.org").await.unwrap());
    assert!(alive(&asked, adas, NOW).await);
    assert!(replace("ada@example.org").await.unwrap());
    let known = asked.store.credentials("ada@example.org").await.unwrap().unwrap();
    assert_eq!((known.password_hash.0.as_str(), known.confirmed), ("new", true));
    assert!(!alive(&asked, adas, NOW).await && alive(&asked, bobs, NOW).await);
}

/// Each batch is saved or told that there is nobody; neither it nor the deletion fails for the other.
async fn an_account_that_is_deleted_while_its_batches_arrive_leaves_nothing(asked: Asked) {
    for round in 0..40 {
        let ada = asked.user().await;
        asked.save(ada, vec![visit("held")], vec![]).await;
        let saves = (0..4).map(|n| {
            // two bring something new, two only a device and an answer
            let id = if n < 2 { format!("v{n}") } else { "held".to_owned() };
            let mut sent = keyed(batch(ada, vec![visit(&id)], vec![]), &n.to_string(), 1);
            sent.now += n + 1;
            asked.store.save(sent)
        });
        let (saved, deleted) =
            futures_util::future::join(futures_util::future::join_all(saves), asked.store.delete_user(ada))
                .await;
        deleted.unwrap();
        for outcome in saved {
            let outcome = outcome.unwrap();
            assert!(matches!(outcome, Saved::Now(_) | Saved::NoSuchUser), "round {round}: {outcome:?}");
        }
        assert_eq!(asked.page(ada, Place::start(), 10).await.records, []);
    }
}
