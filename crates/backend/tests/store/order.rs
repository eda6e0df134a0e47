//! The rows at the end do not depend on the order of arrival. The oracle is a ledger of what was given, beside the
//! store: of each identity the best version by the contract's rule.
//!
//! `HEYHO_MODEL_CASES` histories a store (24 when not set), from `HEYHO_SEED`.

use crate::support::{Aggregate, Asked, NOW, Visit, aggregate, batch, keyed, visit};
use heyho_backend::store::{Deletion, Place, Saved, Selection, UserId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct History {
    batches: Vec<(Vec<Visit>, Vec<Aggregate>)>,
    /// Which batch arrives next, and whether under its own key.
    arrivals: Vec<(usize, bool)>,
}

/// A version of one of a few visits, so that they meet often.
fn visits() -> impl Strategy<Value = Visit> {
    (0..3u8, 0..2u8, prop::option::of(0..3u32), 0..3u8, 0..3i64).prop_map(
        |(id, source, ended, title, revision)| {
            let (source, title) = (format!("s{source}").replace("s0", "s"), format!("title {title}"));
            Visit { source, ended, title, revision, ..visit(&format!("v{id}")) }
        },
    )
}

/// Its visit follows from its completeness and revision, so that the final link is known too.
fn aggregates() -> impl Strategy<Value = Aggregate> {
    (0..3u8, prop::option::of(0..4u8), prop::option::of(0..3u32), 0..3i64).prop_map(
        |(id, visit, active, revision)| {
            let visit = visit.map(|v| format!("v{v}"));
            Aggregate { active, revision, ..aggregate(&format!("a{id}"), visit.as_deref()) }
        },
    )
}

/// Every batch at least once, some twice, in any order.
fn histories() -> impl Strategy<Value = History> {
    let one = (prop::collection::vec(visits(), 0..5), prop::collection::vec(aggregates(), 0..4));
    prop::collection::vec(one, 1..7).prop_flat_map(|batches| {
        let n = batches.len();
        let again = prop::collection::vec((0..n, any::<bool>()), 0..5);
        let arrivals = again.prop_flat_map(move |again| {
            let all: Vec<(usize, bool)> = (0..n).map(|i| (i, true)).chain(again).collect();
            Just(all).prop_shuffle()
        });
        arrivals.prop_map(move |arrivals| History { batches: batches.clone(), arrivals })
    })
}

/// (kind, source, id)
type Key = (i64, String, String);
type Rows = BTreeMap<Key, String>;
/// What a content came with: how complete it is, its highest revision, the visit it names.
type Came = (Option<u32>, i64, Option<String>);

/// What the contract says is there at the end: the revision of a content is the highest it came with.
fn expected(history: &History) -> (Rows, usize) {
    let mut contents: BTreeMap<(Key, String), Came> = BTreeMap::new();
    let mut note = |key: Key, text: String, complete, revision, visit: Option<String>| {
        let held = contents.entry((key, text)).or_insert((complete, revision, visit));
        held.1 = held.1.max(revision);
    };
    for (visits, aggregates) in &history.batches {
        for v in visits {
            note((1, v.source.clone(), v.id.clone()), v.text(), v.ended, v.revision, None);
        }
        for a in aggregates {
            note((2, "s".into(), a.id.clone()), a.text(), a.active, a.revision, a.visit.clone());
        }
    }
    type Best = (Option<u32>, i64, [u8; 32]);
    let mut best: BTreeMap<Key, (Best, String, Option<String>)> = BTreeMap::new();
    for ((key, text), (complete, revision, visit)) in contents {
        let rank = (complete, revision, Sha256::digest(&text).into());
        match best.get(&key) {
            Some((held, _, _)) if *held >= rank => {}
            _ => drop(best.insert(key, (rank, text, visit))),
        }
    }
    let there = |id: &String| best.contains_key(&(1, "s".to_owned(), id.clone()));
    let linked = best.values().filter(|(_, _, visit)| visit.as_ref().is_some_and(there)).count();
    (best.into_iter().map(|(key, (_, text, _))| (key, text)).collect(), linked)
}

async fn arrive(asked: &Asked, user: UserId, history: &History) {
    for (n, under_its_key) in &history.arrivals {
        let (visits, aggregates) = history.batches[*n].clone();
        let mut arriving = batch(user, visits, aggregates);
        if *under_its_key {
            arriving = keyed(arriving, &format!("k{n}"), 1);
        }
        let saved = asked.store.save(arriving).await.unwrap();
        assert!(matches!(saved, Saved::Now(_) | Saved::Before(_)), "{saved:?}");
    }
}

async fn check(asked: &Asked, history: &History) -> Result<(), TestCaseError> {
    let user = asked.user().await;
    // a reader that reads on after each arrival ends with the same rows
    let mut copy = Rows::new();
    let mut after = Place::start();
    for n in 0..history.arrivals.len() {
        let one = History { arrivals: vec![history.arrivals[n]], ..history.clone() };
        arrive(asked, user, &one).await;
        let page = asked.page(user, after.clone(), 1_000).await;
        prop_assert!(!page.more);
        for stored in page.records {
            after = stored.place.clone();
            copy.insert((after.kind, after.source.clone(), after.id.clone()), stored.record);
        }
    }
    let (rows, linked) = expected(history);
    let mut stored = Rows::new();
    for record in asked.all(user, 3).await {
        let Place { kind, source, id, .. } = record.place;
        prop_assert!(stored.insert((kind, source, id), record.record).is_none(), "an identity twice");
    }
    prop_assert_eq!(&stored, &rows);
    prop_assert_eq!(&copy, &rows);

    // links are shown by what goes with the visits of the one source that aggregates have
    let visits = rows.keys().filter(|(kind, _, _)| *kind == 1).count();
    let everything = Selection::Between { from: NOW, to: NOW + 1 };
    let deletion = Deletion { user, device: None, selection: everything, now: NOW };
    let gone = asked.store.delete_records(deletion).await.unwrap();
    prop_assert_eq!(gone as usize, visits + linked);
    Ok(())
}

fn any_order_ends_in_the_rows_of_the_ledger(open: impl AsyncFn() -> Option<Asked>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Some(asked) = runtime.block_on(open()) else { return };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let cases = number("HEYHO_MODEL_CASES").map_or(24, |cases| u32::try_from(cases).unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 32, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("HEYHO_SEED").unwrap_or(1).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner.run(&histories(), |history| runtime.block_on(check(&asked, &history))).unwrap();
}

#[test]
fn any_order_ends_in_the_rows_of_the_ledger_on_sqlite() {
    any_order_ends_in_the_rows_of_the_ledger(async || Some(Asked::sqlite().await));
}

#[test]
fn any_order_ends_in_the_rows_of_the_ledger_on_postgres() {
    any_order_ends_in_the_rows_of_the_ledger(Asked::postgres);
}
