//! Tombstones, and what a link makes go with what.

use crate::support::{Aggregate, Asked, NOW, Visit, aggregate, on_each_store, visit};
use heyho_backend::store::{Deletion, PageQuery, Place, Selection, Tombstone, UserId};

on_each_store!(
    what_was_deleted_stays_deleted_and_is_accounted_for,
    a_domain_goes_with_what_is_below_it,
    a_time_goes,
    an_aggregate_goes_with_the_visit_it_is_linked_to,
    tombstones_are_in_feed_order_and_their_owners,
    a_tombstone_says_what_it_stands_for,
);

async fn delete(asked: &Asked, user: UserId, selection: Selection) -> u64 {
    asked.store.delete_records(Deletion { user, device: None, selection, now: NOW + 1 }).await.unwrap()
}

fn domain(name: &str) -> Selection {
    Selection::Domain(name.into())
}

async fn tombstones(asked: &Asked, user: UserId, after: Place, limit: i64) -> Vec<Tombstone> {
    asked.store.tombstones(PageQuery { user, kind: None, after, limit }).await.unwrap()
}

async fn ids(asked: &Asked, user: UserId) -> Vec<String> {
    asked.all(user, 100).await.into_iter().map(|r| r.place.id).collect()
}

async fn what_was_deleted_stays_deleted_and_is_accounted_for(asked: Asked) {
    let user = asked.user().await;
    asked.save(user, vec![visit("v")], vec![]).await;
    assert_eq!(delete(&asked, user, domain("a.example")).await, 1);
    // nothing to delete takes no version
    assert_eq!(delete(&asked, user, domain("a.example")).await, 0);
    let better = Visit { ended: Some(9), revision: 9, ..visit("v") };
    assert_eq!(asked.save(user, vec![better], vec![]).await, 2);
    assert_eq!(ids(&asked, user).await.len(), 0);
    // of another source it is another record
    assert_eq!(asked.save(user, vec![Visit { source: "other".into(), ..visit("v") }], vec![]).await, 3);
    assert_eq!(ids(&asked, user).await, ["v"]);
}

async fn a_domain_goes_with_what_is_below_it(asked: Asked) {
    let (user, other) = (asked.user().await, asked.user().await);
    let on = |id: &str, host: &str| Visit { host: host.into(), ..visit(id) };
    let about = |id: &str, domain: &str| Aggregate { domains: vec![domain.into()], ..aggregate(id, None) };
    for user in [user, other] {
        let visits =
            vec![on("same", "bank.example"), on("below", "www.bank.example"), on("beside", "mybank.example")];
        let aggregates = vec![about("mentions", "www.bank.example"), about("not", "bank.example.org")];
        asked.save(user, visits, aggregates).await;
    }
    assert_eq!(delete(&asked, user, domain("bank.example")).await, 3);
    assert_eq!(ids(&asked, user).await, ["beside", "not"]);
    assert_eq!(ids(&asked, other).await.len(), 5);
}

async fn a_time_goes(asked: Asked) {
    let user = asked.user().await;
    let at = |id: &str, at| Visit { at, ..visit(id) };
    let lived = |id: &str, from, to| Aggregate { life: Some((from, to)), ..aggregate(id, None) };
    asked
        .save(
            user,
            vec![at("before", 9), at("first", 10), at("last", 19), at("after", 20)],
            vec![
                lived("a-touches", 1, 10),
                lived("b-before", 1, 9),
                lived("c-after", 20, 30),
                lived("d-odd", 15, 1),
            ],
        )
        .await;
    assert_eq!(delete(&asked, user, Selection::Between { from: 10, to: 20 }).await, 4);
    assert_eq!(ids(&asked, user).await, ["after", "before", "b-before", "c-after"]);
    // a record without a time is in none
    asked.save(user, vec![], vec![aggregate("timeless", None)]).await;
    assert_eq!(delete(&asked, user, Selection::Between { from: i64::MIN, to: i64::MAX }).await, 4);
    assert_eq!(ids(&asked, user).await, ["timeless"]);
}

/// Links are not shown by the trait, but by what goes with a visit.
async fn an_aggregate_goes_with_the_visit_it_is_linked_to(asked: Asked) {
    let user = asked.user().await;
    // before its visit, with it, after it; one that names another source's id; one that was moved away
    let elsewhere = Visit { source: "other".into(), host: "else.example".into(), ..visit("foreign") };
    asked.save(user, vec![], vec![aggregate("early", Some("v"))]).await;
    let moved = Aggregate { active: Some(1), ..aggregate("moved", Some("none")) };
    asked
        .save(
            user,
            vec![visit("v"), elsewhere],
            vec![
                aggregate("with", Some("v")),
                aggregate("moved", Some("v")),
                aggregate("foreign", Some("foreign")),
            ],
        )
        .await;
    asked.save(user, vec![], vec![aggregate("late", Some("v")), moved]).await;
    // a later version of the visit keeps the links
    asked.save(user, vec![Visit { ended: Some(1), ..visit("v") }], vec![]).await;

    assert_eq!(delete(&asked, user, domain("else.example")).await, 1);
    assert_eq!(delete(&asked, user, domain("a.example")).await, 4);
    assert_eq!(ids(&asked, user).await, ["foreign", "moved"]);
}

async fn tombstones_are_in_feed_order_and_their_owners(asked: Asked) {
    let (user, other) = (asked.user().await, asked.user().await);
    asked.save(user, vec![visit("b"), visit("a")], vec![]).await;
    asked
        .save(user, vec![Visit { host: "z.example".into(), ..visit("z") }], vec![aggregate("g", Some("a"))])
        .await;
    delete(&asked, user, domain("z.example")).await;
    delete(&asked, user, domain("a.example")).await;
    let all = tombstones(&asked, user, Place::start(), 100).await;
    let seen: Vec<_> = all.iter().map(|t| (t.place.version, t.place.kind, t.place.id.as_str())).collect();
    assert_eq!(seen, [(3, 1, "z"), (4, 1, "a"), (4, 1, "b"), (4, 2, "g")]);
    assert!(all.iter().all(|t| t.deleted_at == NOW + 1));
    let mut paged = Vec::new();
    while let [next] =
        &tombstones(&asked, user, paged.last().map_or_else(Place::start, |t: &Tombstone| t.place.clone()), 1)
            .await[..]
    {
        paged.push(next.clone());
    }
    assert_eq!(paged, all);
    assert_eq!(tombstones(&asked, other, Place::start(), 100).await, []);
}

/// When it was captured and came, and the sum of its content: not shown by the trait yet, kept for what will tell devices.
async fn a_tombstone_says_what_it_stands_for(asked: Asked) {
    let user = asked.user().await;
    let lived = Aggregate { life: Some((NOW - 9, NOW)), ..aggregate("a", Some("v")) };
    asked
        .save(
            user,
            vec![visit("v"), Visit { at: NOW - 5, ..visit("w") }],
            vec![lived, aggregate("b", Some("w"))],
        )
        .await;
    asked
        .execute(
            "CREATE TABLE gone AS
             SELECT 1 AS kind, id, captured_at, received_at, checksum, checksum_algorithm FROM page_visits
             UNION ALL
             SELECT 2, id, captured_at, received_at, checksum, checksum_algorithm FROM tab_aggregates",
        )
        .await;
    assert_eq!(delete(&asked, user, domain("a.example")).await, 4);
    let same = "SELECT count(*) FROM gone JOIN tombstones AS t ON t.kind = gone.kind AND t.id = gone.id
        WHERE t.received_at = gone.received_at AND t.checksum = gone.checksum
        AND t.checksum_algorithm = gone.checksum_algorithm
        AND (t.captured_at = gone.captured_at OR t.captured_at IS NULL AND gone.captured_at IS NULL)";
    assert_eq!(asked.count(same).await, 4);
    let known = "SELECT count(*) FROM tombstones WHERE captured_at IS NOT NULL";
    assert_eq!(asked.count(known).await, 3);
}
