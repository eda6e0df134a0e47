//! The core against a model: a queue, and a backend that answers by a rule.

use super::*;
use crate::answer::{Answer, TransportError};
use crate::task::{BatchItem, Pick, Role};
use crate::why::Stop;
use heyho_records::reason::Reason;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A queue of rows, and what became of them.
struct Queue {
    waiting: Vec<BatchItem>,
    in_flight: Option<Batch>,
    confirmed: Vec<i64>,
    set_aside: BTreeMap<i64, Reason>,
    keys: u64,
    batches: u64,
    check: Reply,
}

fn item(seq: i64) -> BatchItem {
    let kind = if seq % 3 == 2 { Kind::TabAggregate } else { Kind::PageVisit };
    let row = RowRef { kind, seq, revision: 1 };
    BatchItem { row, id: format!("r{seq}"), attempts: 0, role: Role::Own }
}

impl Queue {
    fn of(count: i64) -> Queue {
        Queue {
            waiting: (0..count).map(item).collect(),
            in_flight: None,
            confirmed: Vec::new(),
            set_aside: BTreeMap::new(),
            keys: 0,
            batches: 0,
            check: Ok(answer(200, r#"{"success":true,"data":{"user":{"id":"1"}}}"#)),
        }
    }

    fn take(&mut self, limits: &BatchLimits) -> Taken {
        if self.in_flight.is_none() {
            let mut room = [limits.max_page_visits, limits.max_tab_aggregates];
            let picked = |item: &&BatchItem| match &limits.pick {
                Pick::Oldest { skip } => !skip.iter().any(|row| row.key() == item.row.key()),
                Pick::Rows(rows) => rows.iter().any(|row| row.key() == item.row.key()),
            };
            let mut items: Vec<BatchItem> = Vec::new();
            let mut bytes = 100;
            for item in self.waiting.iter().filter(picked) {
                let room = &mut room[usize::from(item.row.kind == Kind::TabAggregate)];
                if *room == 0 {
                    continue;
                }
                if items.len() >= limits.max_records || (bytes + 50 > limits.max_bytes && !items.is_empty()) {
                    break;
                }
                *room -= 1;
                bytes += 50;
                items.push(item.clone());
            }
            items.sort_by_key(|item| item.row.kind);
            self.batches += 1;
            self.keys += u64::from(!items.is_empty());
            let batch_id = format!("b{}", self.batches);
            self.in_flight = (!items.is_empty()).then_some(Batch { batch_id, items, bytes });
        }
        Taken { batch: self.in_flight.clone(), unsendable: Vec::new() }
    }

    fn settle(&mut self, settlement: Settlement) {
        for row in settlement.confirm {
            self.waiting.retain(|item| item.row != row);
            self.confirmed.push(row.seq);
        }
        for (row, reason) in settlement.set_aside {
            self.waiting.retain(|item| item.row != row);
            assert!(self.set_aside.insert(row.seq, reason).is_none(), "{row:?} was set aside twice");
        }
        for row in settlement.count {
            self.waiting.iter_mut().filter(|item| item.row == row).for_each(|item| item.attempts += 1);
        }
        match settlement.batch {
            BatchFate::End => self.in_flight = None,
            BatchFate::Keep => {}
            BatchFate::Rekey => self.keys += 1,
        }
    }
}

/// Runs the core once over a queue. `backend` is asked for each batch.
fn run(core: &mut Core, queue: &mut Queue, backend: &mut dyn FnMut(&Batch) -> Reply) -> RunEnd {
    run_at(core, queue, backend, Trigger::Periodic, &mut 0)
}

/// Differs from call to call, and is the same in every run of the tests.
fn jitter(run: u64, step: u32) -> f64 {
    let mut mixed = (run << 32 | u64::from(step)).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

fn run_at(
    core: &mut Core,
    queue: &mut Queue,
    backend: &mut dyn FnMut(&Batch) -> Reply,
    trigger: Trigger,
    now: &mut i64,
) -> RunEnd {
    run_until(core, queue, backend, trigger, now, None).expect("only a crash ends a run early")
}

/// `None` after a crash: once that many tasks were carried out, the outcome of the last is never told.
fn run_until(
    core: &mut Core,
    queue: &mut Queue,
    backend: &mut dyn FnMut(&Batch) -> Reply,
    trigger: Trigger,
    now: &mut i64,
    crash_after: Option<u32>,
) -> Option<RunEnd> {
    let seed = queue.batches;
    let jitter = |step: u32| jitter(seed, step);
    let mut task = core.begin(trigger, *now, jitter(1));
    for step in 2..200_000 {
        let outcome = match task {
            Task::Finish(end) => {
                assert!(!core.is_running());
                return Some(end);
            }
            Task::LearnCapabilities => Outcome::Reply(Ok(answer(404, ""))),
            Task::TakeBatch(limits) => Outcome::Taken(queue.take(&limits)),
            Task::Send { .. } => {
                let batch = queue.in_flight.clone().expect("a batch is in flight when it is sent");
                Outcome::Reply(backend(&batch))
            }
            Task::Settle(settlement) => {
                queue.settle(settlement);
                Outcome::Settled
            }
            Task::RefreshToken => Outcome::Refreshed(Refreshed::Yes),
            Task::Check => Outcome::Reply(queue.check.clone()),
            Task::Wait { until_ms, .. } => {
                assert!(until_ms >= *now);
                *now = until_ms;
                Outcome::Woken
            }
        };
        if crash_after == Some(step) {
            return None;
        }
        task = core.told(outcome, *now, jitter(step));
    }
    panic!("the run does not end");
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.into(), ..Answer::default() }
}

fn saved(batch: &Batch) -> Reply {
    let count = |kind| batch.items.iter().filter(|item| item.row.kind == kind).count();
    let body = format!(
        r#"{{"success":true,"batchId":"{}","data":{{"page_visits_synced":{},"tab_aggregates_synced":{},"rejected_records_count":0,"validation_errors":[]}}}}"#,
        batch.batch_id,
        count(Kind::PageVisit),
        count(Kind::TabAggregate)
    );
    Ok(answer(200, &body))
}

#[test]
fn everything_that_waits_is_delivered_in_batches_oldest_first() {
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(500));
    let end = run(&mut core, &mut queue, &mut saved);
    assert_eq!(end.why, Why::Emptied);
    assert_eq!((end.totals.confirmed, end.totals.set_aside), (500, 0));
    assert!(queue.waiting.is_empty());
    assert!(end.next_at_ms.is_some_and(|at| (270_000..=330_000).contains(&at)));
}

#[test]
fn records_named_in_a_400_are_set_aside_and_the_rest_goes_on_at_once() {
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(10));
    let mut requests = 0;
    let end = run(&mut core, &mut queue, &mut |batch| {
        requests += 1;
        let Some(bad) = batch.items.iter().find(|item| item.row.seq == 4) else { return saved(batch) };
        let body = format!(
            r#"{{"success":false,"code":"VALIDATION_ERROR","error":"x","failed_records":[{{"id":"{}","field":"url","error":"Invalid URL"}}]}}"#,
            bad.id
        );
        Ok(answer(400, &body))
    });
    assert_eq!((end.why, requests, queue.confirmed.len()), (Why::Emptied, 2, 9));
    let reason = Reason::RejectedByBackend {
        field: Some("url".into()),
        message: "Invalid URL".into(),
        status: Some(400),
    };
    assert_eq!(queue.set_aside, BTreeMap::from([(4, reason)]));
}

#[test]
fn a_backend_that_is_down_is_asked_five_times_and_nothing_changes() {
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(10));
    let mut requests = 0;
    let mut now = 0;
    let mut down = |_: &Batch| {
        requests += 1;
        Err(TransportError::Refused)
    };
    let end = run_at(&mut core, &mut queue, &mut down, Trigger::Periodic, &mut now);
    assert_eq!(end.why, Why::NoAnswer { error: TransportError::Refused });
    assert_eq!((requests, queue.waiting.len(), queue.set_aside.len()), (5, 10, 0));
    assert!(now <= 15_000);
    assert!(queue.in_flight.is_some(), "the very bytes are kept for the next attempt");
}

// --- Poison: records a backend will not take ---

/// How a backend treats a request with a bad record in it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
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

fn treat(manner: Manner, bad: &BTreeSet<i64>, batch: &Batch) -> Reply {
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

/// Runs until nothing waits or nothing more happens; the most requests one run needed.
fn drain(queue: &mut Queue, manner: Manner, bad: &BTreeSet<i64>) -> u64 {
    let mut core = Core::new(Policy::default());
    let (mut now, mut most) = (0, 0);
    for _ in 0..400 {
        let mut backend = |batch: &Batch| treat(manner, bad, batch);
        let end = run_at(&mut core, queue, &mut backend, Trigger::Periodic, &mut now);
        most = most.max(end.totals.requests);
        now = end.next_at_ms.expect("another run follows");
        if queue.waiting.is_empty() {
            break;
        }
    }
    most
}

fn mix() -> impl Strategy<Value = (i64, BTreeSet<i64>)> {
    (2i64..=130).prop_flat_map(|count| {
        let most = (count as usize - 1).min(40);
        (Just(count), prop::collection::btree_set(0..count, 0..=most))
    })
}

proptest! {
    #[test]
    fn exactly_the_poison_is_set_aside_within_the_bound(
        (count, bad) in mix(),
        manner in prop::sample::select(vec![Manner::Names, Manner::SaysInvalid, Manner::Mute]),
    ) {
        let mut queue = Queue::of(count);
        let most = drain(&mut queue, manner, &bad);
        prop_assert_eq!(queue.set_aside.keys().copied().collect::<BTreeSet<_>>(), bad.clone());
        let confirmed: BTreeSet<i64> = queue.confirmed.iter().copied().collect();
        prop_assert_eq!(confirmed.len(), queue.confirmed.len(), "confirmed twice");
        prop_assert_eq!(confirmed, (0..count).filter(|seq| !bad.contains(seq)).collect::<BTreeSet<_>>());
        prop_assert!(most <= bound(bad.len(), count as usize), "{} requests for {} bad of {}", most, bad.len(), count);
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

// --- A backend, or a program, that is not well ---

#[test]
fn a_backend_that_refuses_everything_gets_few_requests_and_nothing_is_set_aside() {
    type Backend = fn(&Batch) -> Reply;
    let zero = |_: &Batch| Ok(answer(200, r#"{"data":{"page_visits_synced":0,"tab_aggregates_synced":0}}"#));
    let cases: [(&str, Backend, &str, u64); 8] = [
        ("400", |_| Ok(answer(400, "Bad Request")), "refuses_everything", 20),
        ("400 JSON", |_| Ok(answer(400, r#"{"error":"Bad Request"}"#)), "refuses_everything", 20),
        ("422", |_| Ok(answer(422, "")), "refuses_everything", 20),
        ("413", |_| Ok(answer(413, "")), "refuses_everything", 20),
        ("500", |_| Ok(answer(500, "")), "server_error", 6),
        ("503", |_| Ok(answer(503, "<html>")), "server_error", 6),
        ("says no", |_| Ok(answer(200, r#"{"success":false}"#)), "not_proof", 6),
        ("zero counts", zero, "confirms_none", 40),
    ];
    for (name, mut backend, code, most) in cases {
        for count in [1, 2, 3, 7, 1_000] {
            let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(count), 0);
            for _ in 0..20 {
                let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
                assert_eq!(end.why.code(), code, "{name} of {count}");
                assert!(end.totals.requests <= most, "{name} of {count}: {} requests", end.totals.requests);
                now = end.next_at_ms.unwrap();
            }
            assert!(queue.set_aside.is_empty() && queue.confirmed.is_empty(), "{name} of {count}");
            assert!(queue.waiting.iter().all(|item| item.attempts == 0), "{name} of {count}");
        }
    }
}

proptest! {
    /// A proxy turns sick in the middle: it refuses everything from then on, checks too.
    #[test]
    fn a_backend_that_falls_sick_in_the_middle_costs_no_good_record(
        (count, bad) in mix(),
        healthy in 0u64..30,
        manner in prop::sample::select(vec![Manner::Names, Manner::SaysInvalid, Manner::Mute, Manner::Fails]),
        status in prop::sample::select(vec![400, 422, 413, 500, 502]),
    ) {
        let mut queue = Queue::of(count * 3);
        queue.check = Ok(answer(status, ""));
        let (mut core, mut requests) = (Core::new(Policy::default()), 0);
        let mut backend = |batch: &Batch| {
            requests += 1;
            if requests > healthy { Ok(answer(status, "")) } else { treat(manner, &bad, batch) }
        };
        let mut now = 0;
        for _ in 0..5 {
            let end = run_at(&mut core, &mut queue, &mut backend, Trigger::SyncNow, &mut now);
            prop_assert!(end.why.outlook() != Outlook::Good || queue.waiting.is_empty());
        }
        prop_assert!(queue.set_aside.keys().all(|seq| bad.contains(seq)), "{:?}", queue.set_aside);
    }

    /// The program dies at any point; what is persisted is all that is left.
    #[test]
    fn a_crash_at_any_point_neither_loses_nor_blames_a_record(
        (count, bad) in mix(),
        manner in prop::sample::select(vec![Manner::Names, Manner::SaysInvalid, Manner::Mute, Manner::Skips]),
        crashes in prop::collection::vec(1u32..25, 0..20),
    ) {
        let mut queue = Queue::of(count);
        for at in crashes {
            let mut core = Core::new(Policy::default());
            let mut backend = |batch: &Batch| treat(manner, &bad, batch);
            run_until(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut 0, Some(at));
        }
        drain(&mut queue, manner, &bad);
        prop_assert!(queue.set_aside.keys().all(|seq| bad.contains(seq)));
        let confirmed: BTreeSet<i64> = queue.confirmed.iter().copied().collect();
        prop_assert_eq!(confirmed, (0..count).filter(|seq| !bad.contains(seq)).collect::<BTreeSet<_>>());
        // Mute refusals of the last ones left prove nothing: those may wait on.
        if matches!(manner, Manner::Names | Manner::SaysInvalid) {
            prop_assert_eq!(queue.set_aside.len(), bad.len());
        }
    }
}

// --- The single actions ---

/// A backend that gives these answers in turn, and then saves everything.
fn script(answers: Vec<Reply>) -> impl FnMut(&Batch) -> Reply {
    let mut answers = answers.into_iter();
    move |batch| answers.next().unwrap_or_else(|| saved(batch))
}

fn once(queue: &mut Queue, answers: Vec<Reply>) -> RunEnd {
    run(&mut Core::new(Policy::default()), queue, &mut script(answers))
}

#[test]
fn the_same_bytes_and_key_go_out_again_until_they_are_settled() {
    let mut queue = Queue::of(10);
    let lost = || Err(TransportError::ConnectionLost);
    let end = once(&mut queue, vec![lost(), Ok(answer(503, "")), Ok(answer(409, "{}")), lost()]);
    assert_eq!((end.why, queue.keys, end.totals.requests), (Why::Emptied, 1, 5));
}

#[test]
fn a_key_that_was_used_is_replaced_and_the_records_stay() {
    let reused = || Ok(answer(422, r#"{"code":"IDEMPOTENCY_KEY_REUSED"}"#));
    let mut queue = Queue::of(10);
    let end = once(&mut queue, vec![reused()]);
    assert_eq!((end.why, queue.keys, end.totals.requests), (Why::Emptied, 2, 2));
    // A backend that says so each time does not get a third.
    let mut queue = Queue::of(10);
    let end = once(&mut queue, vec![reused(), reused()]);
    assert_eq!((end.why.code(), queue.waiting.len()), ("unexpected_status", 10));
}

#[test]
fn a_token_is_refreshed_once_and_then_the_session_is_over() {
    let mut queue = Queue::of(10);
    let end = once(&mut queue, vec![Ok(answer(401, ""))]);
    assert_eq!((end.why, queue.keys), (Why::Emptied, 1));
    let mut queue = Queue::of(10);
    let end = once(&mut queue, vec![Ok(answer(401, "")), Ok(answer(401, ""))]);
    assert_eq!((end.why, end.next_at_ms, queue.waiting.len()), (Why::SessionExpired, None, 10));
    assert!(queue.in_flight.is_some());
}

#[test]
fn a_wrong_address_or_a_ban_ends_the_run_at_once_and_is_tried_at_the_interval() {
    for (status, code) in
        [(403, "forbidden"), (404, "not_found"), (405, "method_not_allowed"), (426, "upgrade_required")]
    {
        let mut queue = Queue::of(10);
        let end = once(&mut queue, vec![Ok(answer(status, ""))]);
        assert_eq!((end.why.code(), end.totals.requests), (code, 1));
        assert!(end.next_at_ms.unwrap() >= 270_000);
        assert_eq!(queue.waiting.len(), 10);
    }
}

#[test]
fn a_batch_that_is_too_large_is_halved_and_the_limit_remembered() {
    // The model's records have 50 bytes each, an envelope has 100.
    let limit = 6_000;
    let mut backend = |batch: &Batch| {
        if batch.bytes > limit { Ok(answer(413, "<html>")) } else { saved(batch) }
    };
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(1_000));
    let end = run(&mut core, &mut queue, &mut backend);
    assert_eq!((end.why, queue.confirmed.len()), (Why::Emptied, 1_000));
    let (needed, refused) = (1_000_u64.div_ceil(97), 2);
    assert!(end.totals.requests <= needed + refused + 1, "{} requests", end.totals.requests);
    // A limit that is said is taken at its word.
    let mut backend = |batch: &Batch| {
        if batch.bytes > 5_000 {
            Ok(answer(413, r#"{"code":"PAYLOAD_TOO_LARGE","max_bytes":5000}"#))
        } else {
            saved(batch)
        }
    };
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(120));
    let end = run(&mut core, &mut queue, &mut backend);
    assert_eq!((end.totals.requests, queue.confirmed.len()), (3, 120));
}

#[test]
fn one_record_that_is_too_large_for_the_backend_is_set_aside_once_others_passed() {
    let mut backend = |batch: &Batch| {
        let large = batch.items.iter().any(|item| item.row.seq == 3);
        if large { Ok(answer(413, r#"{"code":"PAYLOAD_TOO_LARGE","max_bytes":140}"#)) } else { saved(batch) }
    };
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(8));
    let end = run(&mut core, &mut queue, &mut backend);
    assert_eq!((end.why, queue.confirmed.len()), (Why::Emptied, 7));
    assert_eq!(queue.set_aside[&3].code(), "too_large");
}

#[test]
fn too_many_records_means_fewer_in_the_next_batches() {
    let mut backend = |batch: &Batch| {
        if batch.items.len() > 30 { Ok(answer(400, r#"{"code":"BATCH_TOO_LARGE"}"#)) } else { saved(batch) }
    };
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(120));
    let end = run(&mut core, &mut queue, &mut backend);
    assert_eq!((end.why, queue.confirmed.len(), queue.set_aside.len()), (Why::Emptied, 120, 0));
}

#[test]
fn five_server_errors_on_one_batch_are_followed_by_one_single_record() {
    let mut sizes = Vec::new();
    let mut backend = |batch: &Batch| {
        sizes.push(batch.items.len());
        let poisoned = batch.items.iter().any(|item| item.row.seq == 7);
        if poisoned { Ok(answer(500, "")) } else { saved(batch) }
    };
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(400));
    let end = run(&mut core, &mut queue, &mut backend);
    // 100 visits and the aggregates between them; then one from beyond; then halves.
    assert_eq!(sizes[..7], [200, 200, 200, 200, 200, 1, 100]);
    assert_eq!((end.why, queue.confirmed.len()), (Why::Emptied, 399));
    assert_eq!(queue.set_aside[&7].code(), "rejected_by_backend");
}

#[test]
fn a_retry_after_is_a_floor_also_for_sync_now() {
    let wait = |seconds: u32| {
        Ok(Answer { status: 429, retry_after: Some(seconds.to_string()), ..Answer::default() })
    };
    let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(10), 1_000);
    let end = run_at(&mut core, &mut queue, &mut script(vec![wait(600)]), Trigger::Periodic, &mut now);
    assert_eq!((&end.why, end.totals.requests), (&Why::RateLimited, 1));
    assert!((601_000..=751_000).contains(&end.next_at_ms.unwrap()), "{end:?}");
    let again = run_at(&mut core, &mut queue, &mut saved, Trigger::SyncNow, &mut 500_000);
    assert_eq!((again.why, again.next_at_ms, again.totals.requests), (Why::AskedToWait, Some(601_000), 0));
    let later = run_at(&mut core, &mut queue, &mut saved, Trigger::SyncNow, &mut 601_000);
    assert_eq!(later.why, Why::Emptied);
    // A short one is waited for within the run.
    let mut queue = Queue::of(10);
    let mut now = 0;
    let end = run_at(
        &mut Core::new(Policy::default()),
        &mut queue,
        &mut script(vec![wait(5)]),
        Trigger::Periodic,
        &mut now,
    );
    assert_eq!((end.why, end.totals.requests), (Why::Emptied, 2));
    assert!(now >= 5_000);
    // A clock that jumped back a year does not turn it into a year.
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(10));
    run_at(&mut core, &mut queue, &mut script(vec![wait(60)]), Trigger::Periodic, &mut 40_000_000_000);
    let end = run_at(&mut core, &mut queue, &mut saved, Trigger::SyncNow, &mut 0);
    assert_eq!(end.next_at_ms, Some(3_600_000));
}

#[test]
fn while_the_backend_stays_away_one_request_a_run_is_enough_and_runs_grow_rare() {
    let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(10), 0);
    let mut waits = Vec::new();
    for run in 0..8 {
        let mut down = |_: &Batch| Err(TransportError::Refused);
        let end = run_at(&mut core, &mut queue, &mut down, Trigger::Periodic, &mut now);
        assert_eq!(end.totals.requests, if run == 0 { 5 } else { 1 });
        waits.push(end.next_at_ms.unwrap() - now);
        now = end.next_at_ms.unwrap();
    }
    for (wait, most) in
        waits.iter().zip([30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000, 300_000])
    {
        assert!((most / 2..=most).contains(wait), "{waits:?}");
    }
    // Many waiting records are no reason to ask before that; a person is.
    let mut refuse = |_: &Batch| -> Reply { panic!("not asked") };
    let end = run_at(&mut core, &mut queue, &mut refuse, Trigger::Backlog, &mut (now - 1));
    assert_eq!(end.why, Why::NotYet);
    let end = run_at(&mut core, &mut queue, &mut saved, Trigger::SyncNow, &mut (now - 1));
    assert_eq!(end.why, Why::Emptied);
}

#[test]
fn with_nothing_to_send_a_signed_in_question_keeps_the_truth_fresh() {
    let portal = Ok(answer(200, "<html>Welcome"));
    for (check, why) in [
        (Queue::of(0).check, Why::NothingToSend),
        (portal, Why::Portal),
        (Ok(answer(403, "")), Why::Forbidden),
        (Err(TransportError::Dns), Why::NoAnswer { error: TransportError::Dns }),
        (Ok(answer(401, "")), Why::SessionExpired),
    ] {
        let mut queue = Queue { check, ..Queue::of(0) };
        let end = once(&mut queue, vec![]);
        assert_eq!(end.totals.checked, why == Why::NothingToSend);
        assert_eq!((end.why, end.totals.requests), (why, 0));
    }
}

#[test]
fn an_answer_that_proves_nothing_is_not_asked_for_under_the_same_key_for_ever() {
    for body in ["", "OK", "[]", r#"{"batchId":"other"}"#] {
        let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(10));
        let end = run(&mut core, &mut queue, &mut |_| Ok(answer(200, body)));
        assert_eq!(
            (end.why.outlook(), queue.keys, queue.waiting.len()),
            (Outlook::Retrying, 2, 10),
            "{body}"
        );
    }
}

#[test]
fn stop_ends_after_the_batch_in_flight() {
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(1_000));
    let mut task = core.begin(Trigger::SyncNow, 0, 0.5);
    let end = loop {
        let outcome = match task {
            Task::LearnCapabilities => Outcome::Reply(Ok(answer(404, ""))),
            Task::TakeBatch(limits) => Outcome::Taken(queue.take(&limits)),
            Task::Send { .. } => {
                core.stop();
                Outcome::Reply(saved(queue.in_flight.as_ref().unwrap()))
            }
            Task::Settle(settlement) => {
                queue.settle(settlement);
                Outcome::Settled
            }
            Task::Finish(end) => break end,
            task => panic!("not expected: {task:?}"),
        };
        task = core.told(outcome, 0, 0.5);
    };
    assert_eq!((end.why, end.next_at_ms), (Why::Stopped { by: Stop::Asked }, None));
    assert_eq!((queue.confirmed.len(), queue.in_flight.is_none()), (200, true));
}

#[test]
fn an_outcome_that_answers_no_task_ends_the_run_and_touches_nothing() {
    let mut core = Core::new(Policy::default());
    assert!(matches!(core.told(Outcome::Woken, 0, 0.5), Task::Finish(end) if end.why == Why::Internal));
    core.begin(Trigger::Periodic, 0, 0.5);
    assert!(matches!(core.told(Outcome::Settled, 0, 0.5), Task::Finish(end) if end.why == Why::Internal));
    for by in [Stop::Asked, Stop::SignedOut, Stop::AccountChanged, Stop::BufferProblem] {
        core.begin(Trigger::Periodic, 0, 0.5);
        let Task::Finish(end) = core.told(Outcome::Stop(by), 0, 0.5) else { panic!("a stop is a stop") };
        assert_eq!((end.why, end.next_at_ms.is_some()), (Why::Stopped { by }, by == Stop::BufferProblem));
    }
}

#[test]
fn the_limits_are_the_least_of_settings_and_capabilities() {
    let mut core = Core::new(Policy { batch_page_visits: 80, ..Policy::default() });
    core.begin(Trigger::Periodic, 0, 0.5);
    let body = r#"{"protocol":1,"features":["data.sync","gzip"],
        "limits":{"max_page_visits":1000,"max_tab_aggregates":7,"max_body_bytes":100000}}"#;
    let Task::TakeBatch(limits) = core.told(Outcome::Reply(Ok(answer(200, body))), 0, 0.5) else {
        panic!("a batch is next")
    };
    assert_eq!((limits.max_page_visits, limits.max_tab_aggregates), (80, 7));
    assert_eq!((limits.max_bytes, limits.single_bytes), (100_000, 524_288));
    let batch = Batch { batch_id: "b".into(), items: vec![item(0)], bytes: 100 };
    let taken = Taken { batch: Some(batch), unsendable: Vec::new() };
    assert_eq!(core.told(Outcome::Taken(taken), 0, 0.5), Task::Send { gzip: true });
}

/// 10,000 clients whose backend comes back after an hour: nobody storms it.
#[test]
fn after_an_outage_the_load_stays_within_twice_the_steady_rate() {
    const CLIENTS: u64 = 10_000;
    const WINDOW: i64 = 10_000;
    let (down, up, end) = (600_000, 4_200_000, 6_000_000);
    let mut clients: Vec<Core> = (0..CLIENTS).map(|_| Core::new(Policy::default())).collect();
    let start = |client: u64| (jitter(client, 0) * 300_000.0) as i64;
    let mut due: BTreeSet<(i64, u64)> = (0..CLIENTS).map(|client| (start(client), client)).collect();
    let mut load: BTreeMap<i64, u64> = BTreeMap::new();
    let mut tasks: Vec<Option<Task>> = vec![None; CLIENTS as usize];
    let mut last_good = vec![0_i64; CLIENTS as usize];
    let mut step = 0;
    while let Some((now, client)) = due.pop_first().filter(|(now, _)| *now < end) {
        let index = client as usize;
        let core = &mut clients[index];
        step += 1;
        let draw = jitter(client, step);
        let reply = |body: &str| {
            Outcome::Reply(if (down..up).contains(&now) {
                Err(TransportError::Refused)
            } else {
                Ok(answer(200, body))
            })
        };
        // One batch waits at each run: what a few minutes of browsing bring.
        let batch = Batch { batch_id: "b".into(), items: vec![item(0)], bytes: 100 };
        let mut task = match tasks[index].take() {
            None => core.begin(Trigger::Periodic, now, draw),
            Some(_) => core.told(Outcome::Woken, now, draw),
        };
        let mut sent = false;
        let next = loop {
            let outcome = match task {
                Task::Finish(end) => {
                    if end.why.outlook() == Outlook::Good {
                        last_good[index] = now;
                    }
                    break end.next_at_ms.unwrap();
                }
                Task::Wait { until_ms, .. } => {
                    tasks[index] = Some(Task::Wait { until_ms, asked_by_backend: false });
                    break until_ms;
                }
                Task::LearnCapabilities => reply("{}"),
                Task::TakeBatch(_) if sent => Outcome::Taken(Taken::default()),
                Task::TakeBatch(_) => {
                    Outcome::Taken(Taken { batch: Some(batch.clone()), unsendable: vec![] })
                }
                Task::Send { .. } => {
                    *load.entry(now / WINDOW).or_default() += 1;
                    sent = true;
                    reply(r#"{"data":{"page_visits_synced":1}}"#)
                }
                Task::Settle(_) => Outcome::Settled,
                task => panic!("not expected: {task:?}"),
            };
            task = core.told(outcome, now, draw);
        };
        due.insert((next, client));
    }
    let steady = CLIENTS as f64 * WINDOW as f64 / 300_000.0;
    let peak = load.range(up / WINDOW..).map(|(_, load)| *load).max().unwrap();
    assert!(peak as f64 <= 2.0 * steady, "peak {peak}, steady {steady}");
    assert!(last_good.iter().all(|at| *at > up), "somebody never came back");
}
