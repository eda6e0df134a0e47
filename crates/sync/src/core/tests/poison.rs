//! Records a backend will not take: exactly they are set aside.

use super::*;

/// How a backend treats a request with a bad record in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    /// The contract: every bad record is named.
    Names,
    /// HeyHo's service when all are bad: an error of its own shape that names none.
    SaysInvalid,
    /// A refusal nobody can read.
    Mute,
    /// One bad record fails the whole request.
    Fails,
    /// It saves the others and says nothing.
    Skips,
}

pub fn treat(manner: Manner, bad: &BTreeSet<i64>, batch: &Batch) -> Reply {
    let hit: Vec<&BatchItem> = batch.items.iter().filter(|item| bad.contains(&item.row.seq)).collect();
    if hit.is_empty() {
        return saved(batch);
    }
    Ok(match manner {
        Manner::Names => {
            let names: Vec<_> =
                hit.iter().map(|item| format!(r#"{{"id":"{}","error":"x"}}"#, item.id)).collect();
            answer(400, &format!(r#"{{"success":false,"failed_records":[{}]}}"#, names.join(",")))
        }
        Manner::SaysInvalid => answer(400, r#"{"success":false,"message":"no","errors":[]}"#),
        Manner::Mute => answer(400, "Bad Request"),
        Manner::Fails => answer(500, r#"{"success":false,"message":"Data sync failed"}"#),
        Manner::Skips => {
            let count = |kind| {
                let good = |item: &&BatchItem| item.row.kind == kind && !bad.contains(&item.row.seq);
                batch.items.iter().filter(good).count()
            };
            answer(
                200,
                &format!(
                    r#"{{"success":true,"data":{{"page_visits_synced":{},"tab_aggregates_synced":{}}}}}"#,
                    count(Kind::PageVisit),
                    count(Kind::TabAggregate)
                ),
            )
        }
    })
}

fn bound(bad: usize, records: usize) -> u64 {
    let depth = records.next_power_of_two().trailing_zeros() as u64;
    bad as u64 * (2 * depth + 1) + 1
}

/// What it took until nothing waited, or nothing more happened.
#[derive(Debug, Default)]
pub struct Took {
    /// Requests of the run that needed most, and of all of them.
    pub most: u64,
    pub all: u64,
    pub runs: u64,
}

pub fn drain(queue: &mut Queue, manner: Manner, bad: &BTreeSet<i64>) -> Took {
    let mut core = Core::new(Policy::default());
    let (mut now, mut took) = (0, Took::default());
    for _ in 0..400 {
        let mut backend = |batch: &Batch| treat(manner, bad, batch);
        let end = run_at(&mut core, queue, &mut backend, Trigger::Periodic, &mut now);
        took.most = took.most.max(end.totals.requests);
        took.all += end.totals.requests;
        took.runs += 1;
        now = end.next_at_ms.expect("another run follows");
        if queue.waiting.is_empty() {
            break;
        }
    }
    took
}

pub fn mix() -> impl Strategy<Value = (i64, BTreeSet<i64>)> {
    (2i64..=130).prop_flat_map(|count| {
        let most = (count as usize - 1).min(40);
        (Just(count), prop::collection::btree_set(0..count, 0..=most))
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn exactly_the_poison_is_set_aside_within_the_bound(
        (count, bad) in mix(),
        manner in prop::sample::select(vec![Manner::Names, Manner::SaysInvalid, Manner::Mute]),
    ) {
        let mut queue = Queue::of(count);
        let took = drain(&mut queue, manner, &bad);
        prop_assert_eq!(queue.set_aside.keys().copied().collect::<BTreeSet<_>>(), bad.clone());
        let confirmed: BTreeSet<i64> = queue.confirmed.iter().copied().collect();
        prop_assert_eq!(confirmed.len(), queue.confirmed.len(), "confirmed twice");
        prop_assert_eq!(confirmed, (0..count).filter(|seq| !bad.contains(seq)).collect::<BTreeSet<_>>());
        let bound = bound(bad.len(), count as usize);
        prop_assert!(took.most <= bound, "{:?} for {} bad of {}", took, bad.len(), count);
        // What one run has learnt of a mute backend ends with it: each further one may cost a doubt more.
        let all = bound + policy::REFUSED_PLACES as u64 * (took.runs - 1);
        prop_assert!(took.all <= all && took.runs <= 20, "{:?} for {} bad of {}", took, bad.len(), count);
    }

    #[test]
    fn what_is_silently_skipped_is_set_aside_after_three_chances((count, bad) in mix()) {
        let mut queue = Queue::of(count);
        drain(&mut queue, Manner::Skips, &bad);
        for (seq, reason) in &queue.set_aside {
            prop_assert!(bad.contains(seq));
            prop_assert_eq!(reason, &Reason::NotConfirmed { attempts: 3 });
        }
        let confirmed: BTreeSet<i64> = queue.confirmed.iter().copied().collect();
        prop_assert_eq!(confirmed, (0..count).filter(|seq| !bad.contains(seq)).collect::<BTreeSet<_>>());
        // Where a kind has no good record at all, nothing shows that it is not the backend.
        for kind in Kind::ALL {
            let of_kind = |seq: &i64| item(*seq).row.kind == kind;
            let good = (0..count).filter(of_kind).filter(|seq| !bad.contains(seq)).count();
            let any_good = good > 0;
            let waiting = queue.waiting.iter().filter(|it| it.row.kind == kind).count();
            let untouched = queue.set_aside.keys().all(|seq| !of_kind(seq));
            prop_assert!(if any_good { waiting == 0 } else { untouched }, "{}: {} wait", kind, waiting);
        }
    }

    #[test]
    fn a_record_that_makes_the_backend_fail_is_found_and_no_other_is_blamed((count, bad) in mix()) {
        let mut queue = Queue::of(count);
        drain(&mut queue, Manner::Fails, &bad);
        prop_assert!(queue.set_aside.keys().all(|seq| bad.contains(seq)), "{:?}", queue.set_aside.keys());
        prop_assert!(queue.waiting.iter().all(|it| bad.contains(&it.row.seq)), "good ones are stuck");
        prop_assert!(queue.waiting.len() <= bad.len());
    }
}
