//! One effect a key.

use crate::support::{Asked, NOW, batch, keyed, on_each_store, version, visit};
use heyho_backend::store::{Batch, Saved};

const DAY: i64 = 24 * 60 * 60 * 1_000;

on_each_store!(
    a_key_has_one_effect_and_its_answer_is_given_again,
    an_answer_is_kept_for_a_day,
    keys_of_two_users_and_two_paths_are_apart,
    twins_that_race_have_one_effect,
);

async fn a_key_has_one_effect_and_its_answer_is_given_again(asked: Asked) {
    let user = asked.user().await;
    let first = asked.store.save(keyed(batch(user, vec![visit("v")], vec![]), "k", 1)).await.unwrap();
    let Saved::Now(answer) = first else { panic!("{first:?}") };
    asked.save(user, vec![visit("w")], vec![]).await;
    let again = asked.store.save(keyed(batch(user, vec![visit("v")], vec![]), "k", 1)).await.unwrap();
    assert_eq!(again, Saved::Before(answer));
    let other = asked.store.save(keyed(batch(user, vec![visit("x")], vec![]), "k", 2)).await.unwrap();
    assert_eq!(other, Saved::KeyReused);
    assert_eq!(asked.all(user, 10).await.len(), 2);
}

async fn an_answer_is_kept_for_a_day(asked: Asked) {
    let user = asked.user().await;
    let at = |now| Batch { now, ..keyed(batch(user, vec![visit("v")], vec![]), "k", 1) };
    asked.store.save(at(NOW)).await.unwrap();
    asked.store.purge(NOW + DAY - 1).await.unwrap();
    assert!(matches!(asked.store.save(at(NOW + DAY - 1)).await.unwrap(), Saved::Before(_)));
    let (key, _) = at(NOW).idempotency.unwrap();
    assert!(asked.store.answered(&key, NOW + DAY - 1).await.unwrap().is_some());
    assert_eq!(asked.store.answered(&key, NOW + DAY).await.unwrap(), None);
    assert!(matches!(asked.store.save(at(NOW + DAY)).await.unwrap(), Saved::Now(_)));
    assert!(asked.store.purge(NOW + 2 * DAY).await.unwrap() >= 1);
}

async fn keys_of_two_users_and_two_paths_are_apart(asked: Asked) {
    for user in [asked.user().await, asked.user().await] {
        for path in ["/x", "/y"] {
            let mut batch = keyed(batch(user, vec![visit("v")], vec![]), "k", 1);
            if let Some((key, _)) = &mut batch.idempotency {
                key.path = path;
            }
            assert!(matches!(asked.store.save(batch).await.unwrap(), Saved::Now(_)));
        }
    }
}

async fn twins_that_race_have_one_effect(asked: Asked) {
    let user = asked.user().await;
    let twins = (0..32).map(|_| asked.store.save(keyed(batch(user, vec![visit("v")], vec![]), "k", 1)));
    let saved = futures_util::future::join_all(twins).await;
    let now = saved.iter().filter(|s| matches!(s, Ok(Saved::Now(_)))).count();
    assert_eq!(now, 1, "{saved:?}");
    for saved in saved {
        match saved.unwrap() {
            Saved::Now(answer) | Saved::Before(answer) => assert_eq!(version(&answer), 1),
            Saved::InProgress => {}
            other => panic!("{other:?}"),
        }
    }
}
