//! One row an identity, one version a batch that changed something.

use crate::support::{Asked, Visit, aggregate, batch, on_each_store, visit};
use heyho_backend::store::{Place, Saved, UserId};

on_each_store!(
    the_same_content_gets_no_version,
    of_two_versions_the_more_complete_stays,
    equally_complete_versions_are_decided_by_revision_then_by_checksum,
    one_counter_runs_over_both_kinds_and_for_each_user,
    sources_and_users_and_kinds_are_apart,
    an_identity_twice_in_a_batch_is_its_best_version,
    pages_follow_the_feed_whatever_their_size,
    nothing_is_saved_for_nobody,
    a_large_batch_is_one_version,
);

async fn the_same_content_gets_no_version(asked: Asked) {
    let user = asked.user().await;
    assert_eq!(asked.save(user, vec![visit("v")], vec![aggregate("a", None)]).await, 1);
    assert_eq!(asked.save(user, vec![visit("v")], vec![aggregate("a", None)]).await, 1);
    // nor does a higher revision of it
    assert_eq!(asked.save(user, vec![Visit { revision: 7, ..visit("v") }], vec![]).await, 1);
    // one that is new takes the batch to a version, and leaves the others at theirs
    assert_eq!(asked.save(user, vec![visit("v"), visit("w")], vec![]).await, 2);
    let versions: Vec<_> = asked.all(user, 10).await.iter().map(|r| r.place.version).collect();
    assert_eq!(versions, [1, 1, 2]);
}

async fn of_two_versions_the_more_complete_stays(asked: Asked) {
    let user = asked.user().await;
    let ended = |ended, revision| Visit { ended, revision, ..visit("v") };
    for (given, stays, version) in [
        (ended(Some(5), 0), Some(5), 1),
        // less complete, whatever its revision says; null is least
        (ended(Some(4), 9), Some(5), 1),
        (ended(None, 9), Some(5), 1),
        (ended(Some(6), 0), Some(6), 2),
    ] {
        assert_eq!(asked.save(user, vec![given], vec![]).await, version);
        assert_eq!(asked.texts(user).await, [ended(stays, 0).text()]);
    }
}

async fn equally_complete_versions_are_decided_by_revision_then_by_checksum(asked: Asked) {
    let user = asked.user().await;
    let titled = |title: &str, revision| Visit { title: title.into(), revision, ..visit("v") };
    asked.save(user, vec![titled("old", 2)], vec![]).await;
    asked.save(user, vec![titled("late", 1)], vec![]).await;
    assert_eq!(asked.texts(user).await, [titled("old", 0).text()]);
    asked.save(user, vec![titled("new", 3)], vec![]).await;
    assert_eq!(asked.texts(user).await, [titled("new", 0).text()]);
    // the same content came with a higher revision: that counts from now on
    assert_eq!(asked.save(user, vec![titled("new", 5)], vec![]).await, 2);
    asked.save(user, vec![titled("between", 4)], vec![]).await;
    assert_eq!(asked.texts(user).await, [titled("new", 0).text()]);

    // of the same revision the greater checksum stays, whichever came first
    let two = [titled("one", 9), titled("two", 9)];
    let (one, other) = (asked.user().await, asked.user().await);
    for (user, order) in [(one, [0, 1]), (other, [1, 0])] {
        for n in order {
            asked.save(user, vec![two[n].clone()], vec![]).await;
        }
    }
    assert_eq!(asked.texts(one).await, asked.texts(other).await);
}

async fn one_counter_runs_over_both_kinds_and_for_each_user(asked: Asked) {
    let (ada, bob) = (asked.user().await, asked.user().await);
    assert_eq!(asked.save(ada, vec![visit("v")], vec![]).await, 1);
    assert_eq!(asked.save(ada, vec![], vec![aggregate("a", None)]).await, 2);
    assert_eq!(asked.save(bob, vec![visit("v")], vec![]).await, 1);
    assert_eq!(asked.save(ada, vec![visit("w")], vec![aggregate("b", None)]).await, 3);
    assert_eq!(asked.save(ada, vec![], vec![]).await, 3);
}

async fn sources_and_users_and_kinds_are_apart(asked: Asked) {
    let (ada, bob) = (asked.user().await, asked.user().await);
    let from = |source: &str| Visit { source: source.into(), ..visit("x") };
    asked.save(ada, vec![from("s1"), from("s2"), from("")], vec![aggregate("x", None)]).await;
    let better = Visit { ended: Some(9), ..from("s1") };
    asked.save(bob, vec![better], vec![]).await;
    assert_eq!(asked.all(ada, 10).await.len(), 4);
    assert!(asked.texts(ada).await.iter().all(|text| !text.contains(r#""ended":9"#)));
    assert_eq!(asked.all(bob, 10).await.len(), 1);
}

async fn an_identity_twice_in_a_batch_is_its_best_version(asked: Asked) {
    let user = asked.user().await;
    let best = Visit { ended: Some(3), ..visit("v") };
    asked.save(user, vec![visit("v"), best.clone(), Visit { ended: Some(1), ..visit("v") }], vec![]).await;
    assert_eq!(asked.texts(user).await, [best.text()]);
}

async fn pages_follow_the_feed_whatever_their_size(asked: Asked) {
    let user = asked.user().await;
    for n in 0..6 {
        let visits = (0..3).rev().map(|v| visit(&format!("v{n}{v}"))).collect();
        asked.save(user, visits, vec![aggregate(&format!("a{n}"), None)]).await;
    }
    // changed: it moves to the end
    asked.save(user, vec![Visit { ended: Some(1), ..visit("v00") }], vec![]).await;
    let whole = asked.all(user, 1_000).await;
    assert_eq!(whole.len(), 24);
    assert!(whole.is_sorted_by(|a, b| a.place < b.place));
    assert_eq!((whole[23].place.id.as_str(), whole[23].place.version), ("v00", 7));
    for limit in [1, 2, 5, 23, 24] {
        assert_eq!(asked.all(user, limit).await, whole, "{limit}");
    }
    let end = asked.page(user, whole[23].place.clone(), 10).await;
    assert!(end.records.is_empty() && !end.more);
    assert_eq!(asked.page(asked.user().await, Place::start(), 10).await.records, []);
}

async fn nothing_is_saved_for_nobody(asked: Asked) {
    let nobody = UserId(uuid::Uuid::from_u128(u128::MAX));
    let saved = asked.store.save(batch(nobody, vec![visit("v")], vec![])).await.unwrap();
    assert_eq!(saved, Saved::NoSuchUser);
    assert_eq!(asked.all(nobody, 10).await, []);
}

async fn a_large_batch_is_one_version(asked: Asked) {
    let user = asked.user().await;
    let visits: Vec<Visit> = (0..1_000).map(|n| visit(&format!("v{n}"))).collect();
    let aggregates = (0..1_000).map(|n| aggregate(&format!("a{n}"), Some(&format!("v{n}")))).collect();
    assert_eq!(asked.save(user, visits, aggregates).await, 1);
    let all = asked.all(user, 300).await;
    assert_eq!(all.len(), 2_000);
    assert!(all.iter().all(|r| r.place.version == 1));
}
