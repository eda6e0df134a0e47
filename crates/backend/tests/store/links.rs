//! Far more aggregates wait for a visit than one transaction ties: the rest is owed, and nobody notices.

use crate::support::{Asked, NOW, aggregate, on_each_store, visit};
use heyho_backend::limits::SLICE;
use heyho_backend::store::{Deletion, Selection, UserId};

on_each_store!(
    a_visit_that_many_wait_for_ties_a_slice_and_owes_the_rest,
    a_deletion_takes_what_is_not_tied_yet,
    the_end_of_an_account_takes_what_it_owes,
);

const TIED: &str = "SELECT count(*) FROM tab_aggregates WHERE page_visit_row IS NOT NULL";
const OWED: &str = "SELECT count(*) FROM link_debts";

/// More than two slices.
const MANY: usize = 2 * SLICE + 500;
const FEW: usize = 3;

/// Somebody whose visits come last, and another whose aggregate names the same; the version that the visits had.
async fn waited_for(asked: &Asked) -> (UserId, i64) {
    let (user, other) = (asked.user().await, asked.user().await);
    asked.save(other, vec![], vec![aggregate("others", Some("v"))]).await;
    let many = (0..MANY).map(|n| aggregate(&format!("v{n}"), Some("v"))).collect();
    asked.save(user, vec![], many).await;
    let few = (0..FEW).map(|n| aggregate(&format!("w{n}"), Some("w")));
    asked.save(user, vec![], few.chain([aggregate("alone", Some("none"))]).collect()).await;
    (user, asked.save(user, vec![visit("v"), visit("w")], vec![]).await)
}

async fn a_visit_that_many_wait_for_ties_a_slice_and_owes_the_rest(asked: Asked) {
    let (user, version) = waited_for(&asked).await;
    assert_eq!(version, 3);
    assert_eq!(asked.count(TIED).await, SLICE as i64);
    assert!(asked.count(OWED).await > 0);
    let before = asked.all(user, 1_000).await;
    // a batch without new visits pays nothing and owes nothing more
    asked.save(user, vec![visit("v")], vec![aggregate("late", Some("v"))]).await;
    assert_eq!(asked.count(TIED).await, SLICE as i64 + 1);

    asked.store.purge(NOW).await.unwrap();
    assert_eq!(asked.count(TIED).await, (MANY + FEW + 1) as i64);
    assert_eq!(asked.count(OWED).await, 0);
    // links are no content
    assert_eq!(asked.all(user, 1_000).await[..before.len()], before);
    asked.store.purge(NOW).await.unwrap();
    assert_eq!(asked.count(TIED).await, (MANY + FEW + 1) as i64);
}

async fn a_deletion_takes_what_is_not_tied_yet(asked: Asked) {
    let (user, _) = waited_for(&asked).await;
    let deletion =
        Deletion { user, device: None, selection: Selection::Domain("a.example".into()), now: NOW };
    assert_eq!(asked.store.delete_records(deletion).await.unwrap(), (MANY + FEW + 2) as u64);
    let left: Vec<_> = asked.all(user, 10).await.into_iter().map(|stored| stored.place.id).collect();
    assert_eq!(left, ["alone"]);
    assert_eq!(asked.count(OWED).await, 0);
}

async fn the_end_of_an_account_takes_what_it_owes(asked: Asked) {
    let (user, _) = waited_for(&asked).await;
    asked.store.delete_user(user).await.unwrap();
    assert_eq!(asked.count(OWED).await, 0);
    asked.store.purge(NOW).await.unwrap();
}
