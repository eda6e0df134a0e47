//! A backend, or a program, that is not well.

use super::poison::{Manner, drain, mix, treat};
use super::*;
use crate::answer::TransportError;

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
    #![proptest_config(cases())]

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

#[test]
fn a_record_that_breaks_every_connection_blocks_nobody_and_is_not_blamed() {
    for bad in [0, 57, 149] {
        let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(150), 0);
        let mut backend = |batch: &Batch| {
            let breaks = batch.items.iter().any(|item| item.row.seq == bad);
            if breaks { Err(TransportError::ConnectionLost) } else { saved(batch) }
        };
        for _ in 0..40 {
            let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
            assert_eq!(end.why, Why::NoAnswer { error: TransportError::ConnectionLost });
            now = end.next_at_ms.unwrap();
        }
        assert_eq!(queue.waiting.iter().map(|it| it.row.seq).collect::<Vec<_>>(), [bad]);
        assert!(queue.set_aside.is_empty());
        // It is tried again, and goes when the backend is mended.
        let mut runs = 0;
        while !queue.waiting.is_empty() {
            runs += 1;
            assert!(runs < 20);
            now = run_at(&mut core, &mut queue, &mut saved, Trigger::Periodic, &mut now).next_at_ms.unwrap();
        }
    }
}

#[test]
fn a_line_that_dies_in_the_middle_of_a_run_is_not_asked_for_ever() {
    let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(1_000), 0);
    let mut requests = 0;
    let mut backend = |batch: &Batch| {
        requests += 1;
        if requests > 2 { Err(TransportError::AnswerTimeout) } else { saved(batch) }
    };
    let end = run_at(&mut core, &mut queue, &mut backend, Trigger::SyncNow, &mut now);
    assert_eq!((end.why.code(), end.totals.requests), ("no_answer", 2 + 5));
    now = end.next_at_ms.unwrap();
    let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
    assert_eq!((end.why.code(), end.totals.requests), ("no_answer", 1));
    assert_eq!(queue.waiting.len(), 600);
}

proptest! {
    #![proptest_config(cases())]

    /// The route for batches turns sick in the middle, while every question to another route is answered well.
    #[test]
    fn what_is_well_elsewhere_proves_nothing_about_the_route_for_batches(
        count in 1i64..=400,
        healthy in 0u64..6,
        sick in prop::sample::select(vec![
            (400, "Bad Request"), (422, r#"{"error":"no"}"#), (413, ""), (500, ""), (200, r#"{"success":false}"#),
            (200, r#"{"success":true,"data":{"page_visits_synced":0,"tab_aggregates_synced":0}}"#),
        ]),
    ) {
        let mut queue = Queue::of(count);
        let (mut core, mut requests, mut now) = (Core::new(Policy::default()), 0, 0);
        let mut backend = |batch: &Batch| {
            requests += 1;
            if requests > healthy { Ok(answer(sick.0, sick.1)) } else { saved(batch) }
        };
        for _ in 0..10 {
            let end = run_at(&mut core, &mut queue, &mut backend, Trigger::SyncNow, &mut now);
            prop_assert!(queue.set_aside.is_empty(), "{:?}", queue.set_aside);
            prop_assert!(end.totals.requests <= healthy + 45, "{} requests", end.totals.requests);
            prop_assert_eq!(end.why.outlook() == Outlook::Good, queue.waiting.is_empty());
        }
    }
}

/// Every request fails by chance, whatever is in it.
#[test]
fn weather_costs_no_record_and_few_requests() {
    for (percent, most) in [(30, 3.0), (50, 5.0)] {
        for count in [1, 2, 3, 20, 1_500] {
            for seed in 0..40 {
                let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(count), 0);
                let (mut requests, mut runs) = (0, 0);
                let mut backend = |batch: &Batch| {
                    requests += 1;
                    let lucky = jitter(seed * 7_919 + percent, requests) * 100.0 >= percent as f64;
                    if lucky { saved(batch) } else { Ok(answer(500, "")) }
                };
                while !queue.waiting.is_empty() {
                    runs += 1;
                    assert!(runs < 100, "{percent} % of {count}, seed {seed}: {} wait", queue.waiting.len());
                    let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
                    now = end.next_at_ms.unwrap();
                }
                assert!(
                    queue.set_aside.is_empty(),
                    "{percent} % of {count}, seed {seed}: {:?}",
                    queue.set_aside
                );
                let batches = (count as f64 / 150.0).ceil();
                assert!(
                    f64::from(requests) <= most * batches + 30.0,
                    "{percent} % of {count}, seed {seed}: {requests} requests"
                );
            }
        }
    }
}

/// In an outage there is one request a run, and a single record is tried only after five.
#[test]
fn a_single_fault_in_an_outage_begins_no_hunt() {
    let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(300), 0);
    let mut backend = |_: &Batch| Ok(answer(500, ""));
    let mut sent = Vec::new();
    for _ in 0..13 {
        let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
        assert_eq!(end.why, Why::ServerError { status: 500 });
        sent.push(end.totals.requests);
        now = end.next_at_ms.unwrap();
    }
    assert_eq!(sent, [6, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1]);
}

/// A gateway puts a time on every fault: that one record causes it is found out all the same, and nothing is asked
/// before that time.
#[test]
fn a_record_whose_fault_comes_with_a_time_blocks_nobody() {
    for (seconds, count) in [("1", 300), ("60", 300), ("60", 1)] {
        for bad in [0, 57, 199, 299].into_iter().filter(|bad| *bad < count) {
            let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(count), 0);
            let mut backend = |batch: &Batch| match batch.items.iter().any(|it| it.row.seq == bad) {
                true => Ok(Answer { retry_after: Some(seconds.into()), ..answer(503, "") }),
                false => saved(batch),
            };
            for _ in 0..150 {
                let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
                assert!(end.totals.requests <= 120, "{seconds} {bad}: {}", end.totals.requests);
                now = end.next_at_ms.unwrap();
            }
            assert!(
                queue.waiting.iter().all(|it| it.row.seq == bad),
                "{seconds} {bad}: {}",
                queue.waiting.len()
            );
            assert!(queue.set_aside.keys().all(|seq| *seq == bad), "{seconds} {bad}");
        }
    }
    // An outage that says so: nothing is passed over, and one request a run.
    let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(300), 0);
    let mut down = |_: &Batch| Ok(Answer { retry_after: Some("60".into()), ..answer(503, "") });
    for _ in 0..40 {
        let end = run_at(&mut core, &mut queue, &mut down, Trigger::Periodic, &mut now);
        assert_eq!((end.why, end.totals.requests), (Why::ServerError { status: 503 }, 1));
        now = end.next_at_ms.unwrap();
    }
    let end = run_at(&mut core, &mut queue, &mut saved, Trigger::Periodic, &mut now);
    assert_eq!((end.why, queue.waiting.len(), queue.set_aside.len()), (Why::Emptied, 0, 0));
    assert!(end.totals.requests <= 4, "{}", end.totals.requests);
}

/// Whatever it is that goes in circles: two records that are only ever taken together, and refused, cost no attempt.
#[test]
fn a_run_that_comes_to_nothing_ends() {
    for (status, most) in [(400, 201), (422, 201)] {
        let (mut core, mut now) = (Core::new(Policy::default()), 0);
        let mut queue = Queue { circle: Some([0, 1]), ..Queue::of(2) };
        let mut backend = |_: &Batch| Ok(answer(status, ""));
        let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
        assert_eq!(end.why.outlook(), Outlook::NeedsAttention, "{:?}", end.why);
        assert!(end.totals.requests <= most, "{} requests", end.totals.requests);
        assert_eq!((queue.waiting.len(), queue.set_aside.len()), (2, 0));
    }
}

/// A refresh that hangs, over however many runs, says nothing of the batch that waits for it.
#[test]
fn a_session_that_cannot_be_renewed_neither_halves_a_batch_nor_passes_a_record_over() {
    for error in [TransportError::AnswerTimeout, TransportError::ConnectionLost] {
        let (mut core, mut now) = (Core::new(Policy::default()), 0);
        let mut queue = Queue { not_now: u32::MAX, not_now_why: Why::NoAnswer { error }, ..Queue::of(200) };
        let mut refused = |_: &Batch| Ok(answer(401, ""));
        for _ in 0..12 {
            let end = run_at(&mut core, &mut queue, &mut refused, Trigger::Periodic, &mut now);
            assert_eq!(end.why.code(), "no_answer");
            now = end.next_at_ms.unwrap();
        }
        assert_eq!(queue.keys, 1, "the batch is what it was");
        let mut sizes = Vec::new();
        let mut backend = |batch: &Batch| {
            sizes.push(batch.items.len());
            saved(batch)
        };
        let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
        assert_eq!((end.why, queue.waiting.len()), (Why::Emptied, 0));
        assert!(sizes[0] >= 100 && sizes.len() <= 3, "{sizes:?}");
    }
}

/// A backend that knows what it has, and takes nothing new: a quota, a table closed for writing.
#[test]
fn who_takes_what_it_has_and_nothing_new_costs_few_records_and_no_more() {
    let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(900), 0);
    let mut held: BTreeSet<i64> = BTreeSet::new();
    let mut backend = |batch: &Batch| {
        let new = batch.items.iter().any(|item| !held.contains(&item.row.seq));
        if new && !held.is_empty() {
            return Ok(answer(400, r#"{"error":"monthly limit"}"#));
        }
        held.extend(batch.items.iter().map(|item| item.row.seq));
        saved(batch)
    };
    for _ in 0..20 {
        let end = run_at(&mut core, &mut queue, &mut backend, Trigger::SyncNow, &mut now);
        assert_eq!(end.why, Why::RefusesEverything { status: 400, kind: None });
    }
    assert!(
        queue.set_aside.len() <= policy::VOUCHED_MOST + policy::REFUSED_PLACES,
        "{:?}",
        queue.set_aside.keys()
    );
}

/// The same, said by its counts: what it has already is counted, what is new is not.
#[test]
fn who_counts_what_it_has_and_nothing_new_costs_few_records_and_no_more() {
    let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(900), 0);
    let mut held: BTreeSet<i64> = BTreeSet::new();
    let mut requests = 0;
    let mut backend = |batch: &Batch| {
        requests += 1;
        if held.is_empty() {
            held.extend(batch.items.iter().map(|item| item.row.seq));
        }
        let new: BTreeSet<i64> =
            batch.items.iter().map(|item| item.row.seq).filter(|seq| !held.contains(seq)).collect();
        treat(Manner::Skips, &new, batch)
    };
    for _ in 0..20 {
        let end = run_at(&mut core, &mut queue, &mut backend, Trigger::SyncNow, &mut now);
        assert_eq!(end.why.code(), "confirms_none");
    }
    // Of each kind.
    assert!(
        queue.set_aside.len() <= 2 * (policy::VOUCHED_MOST + policy::REFUSED_PLACES),
        "{:?}",
        queue.set_aside
    );
    assert!(requests <= 1_500, "{requests} requests");
}

/// One kind is sick (a table that is broken, a validation that went wrong), and the other goes on, run after run; also
/// where each run is another life of the program, as from a timer. It is kept, and goes when the backend is mended.
#[test]
fn a_kind_that_is_refused_while_the_other_is_accepted_costs_few_records_and_no_more() {
    for (manner, sick, code) in [
        (Manner::Mute, Kind::TabAggregate, "refuses_everything"),
        (Manner::Mute, Kind::PageVisit, "refuses_everything"),
        (Manner::Fails, Kind::TabAggregate, "server_error"),
        (Manner::Skips, Kind::TabAggregate, "confirms_none"),
    ] {
        for started_anew in [false, true] {
            let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(900), 0);
            let of_kind = |batch: &Batch| -> BTreeSet<i64> {
                batch.items.iter().filter(|it| it.row.kind == sick).map(|it| it.row.seq).collect()
            };
            let mut backend = |batch: &Batch| treat(manner, &of_kind(batch), batch);
            let case = format!("{manner:?} {sick:?}, started anew: {started_anew}");
            for round in 0..20 {
                if started_anew {
                    core = after_a_start(&core);
                }
                let end = run_at(&mut core, &mut queue, &mut backend, Trigger::SyncNow, &mut now);
                assert_eq!(end.why.code(), code, "{case}, {round}");
                // Visits stand first in a request: where they are refused, nothing is accepted to begin with.
                let others = queue.waiting.iter().filter(|it| it.row.kind != sick).count();
                assert!(others == 0 || sick == Kind::PageVisit, "{case}: {others} others wait");
                assert!(round == 0 || end.totals.requests <= 60, "{case}: {}", end.totals.requests);
                // Somebody browses.
                queue.waiting.extend((0..10).map(|n| item(1_000 + round * 10 + n)));
                now += 300_000;
            }
            let most = policy::VOUCHED_MOST + policy::REFUSED_PLACES;
            assert!(queue.set_aside.len() <= most, "{case}: {}", queue.set_aside.len());
            let before = queue.set_aside.len();
            if started_anew {
                core = after_a_start(&core);
            }
            let end = run_at(&mut core, &mut queue, &mut saved, Trigger::SyncNow, &mut now);
            assert_eq!((end.why, queue.waiting.len(), queue.set_aside.len()), (Why::Emptied, 0, before));
            assert_eq!(core.blamed(), [0; 2], "{case}: some of each kind were accepted");
        }
    }
}

/// What is persisted of it is all that the next life of the program has.
fn after_a_start(core: &Core) -> Core {
    let mut next = Core::new(Policy::default());
    next.remember(Remembered { blamed: core.blamed(), takes_records: core.takes_records });
    next
}

/// Killed at any task: what a settlement sets aside was counted before it was carried out.
#[test]
fn a_kind_that_is_refused_costs_no_more_where_the_program_is_killed_again_and_again() {
    let (mut kept, mut queue, mut now) = (Remembered::default(), Queue::of(900), 0);
    let of_kind = |batch: &Batch| -> BTreeSet<i64> {
        batch.items.iter().filter(|it| it.row.kind == Kind::TabAggregate).map(|it| it.row.seq).collect()
    };
    let mut backend = |batch: &Batch| treat(Manner::Mute, &of_kind(batch), batch);
    for life in 0..60 {
        let mut core = Core::new(Policy::default());
        core.remember(kept);
        let dies_after = 20 + life * 7 % 50;
        run_until(&mut core, &mut queue, &mut backend, Trigger::SyncNow, &mut now, Some(dies_after));
        kept.blamed = core.blamed();
        queue.waiting.extend((0..10).map(|n| item(1_000 + i64::from(life) * 10 + n)));
    }
    let most = policy::VOUCHED_MOST + policy::REFUSED_PLACES;
    assert!((20..=most).contains(&queue.set_aside.len()), "{}", queue.set_aside.len());
}

/// The visit that was confirmed is not at hand any longer (it went along since, or was forgotten).
#[test]
fn where_none_of_a_kind_is_at_hand_one_of_the_other_vouches() {
    let mut queue = Queue { not_at_hand: Some(Kind::PageVisit), ..Queue::of(160) };
    let bad: BTreeSet<i64> = [157, 159].into();
    let mut backend = |batch: &Batch| treat(Manner::Mute, &bad, batch);
    let (mut core, mut now) = (Core::new(Policy::default()), 0);
    let end = run_at(&mut core, &mut queue, &mut backend, Trigger::Periodic, &mut now);
    assert_eq!((end.why, queue.waiting.len()), (Why::Emptied, 0));
    assert_eq!(queue.set_aside.keys().copied().collect::<BTreeSet<_>>(), bad);
}

#[test]
fn in_an_outage_a_run_is_one_request_also_where_nothing_was_ever_learnt() {
    let (mut core, mut now) = (Core::new(Policy::default()), 0);
    let mut queue = Queue { capabilities: answer(503, ""), ..Queue::of(10) };
    let mut down = |_: &Batch| Ok(answer(503, ""));
    let mut asked = Vec::new();
    for _ in 0..4 {
        let before = queue.learning;
        let end = run_at(&mut core, &mut queue, &mut down, Trigger::Periodic, &mut now);
        asked.push(end.totals.requests + queue.learning - before);
        now = end.next_at_ms.unwrap();
    }
    assert_eq!(asked[1..], [1, 1, 1], "{asked:?}");
    // It is back: the records first, then what it can do.
    queue.capabilities = answer(200, r#"{"protocol":1,"features":["gzip"],"limits":{}}"#);
    now = run_at(&mut core, &mut queue, &mut saved, Trigger::Periodic, &mut now).next_at_ms.unwrap();
    let before = queue.learning;
    run_at(&mut core, &mut queue, &mut saved, Trigger::Periodic, &mut now);
    assert_eq!((queue.waiting.len(), queue.learning - before), (0, 1));
}

#[test]
fn too_many_requests_of_the_capabilities_are_not_followed_by_another_at_once() {
    let mut queue = Queue { capabilities: answer(429, ""), ..Queue::of(10) };
    let end = run(&mut Core::new(Policy::default()), &mut queue, &mut saved);
    assert_eq!((end.why, end.totals.requests), (Why::RateLimited, 0));
}

/// S0 has no route that says who is signed in. Its answer to one is no fault where it takes records.
#[test]
fn a_backend_that_knows_no_check_is_well_once_it_has_confirmed_records() {
    let (mut core, mut now) = (Core::new(Policy::default()), 0);
    let mut queue = Queue { check: Ok(answer(404, "")), ..Queue::of(0) };
    let end = run_at(&mut core, &mut queue, &mut saved, Trigger::Periodic, &mut now);
    assert_eq!(end.why, Why::NotFound);
    queue.waiting.push(item(1));
    let end = run_at(&mut core, &mut queue, &mut saved, Trigger::Periodic, &mut now);
    assert_eq!(end.why, Why::Emptied);
    for mut core in [after_a_start(&core), core] {
        let end = run_at(&mut core, &mut queue, &mut saved, Trigger::Periodic, &mut now);
        assert_eq!((end.why, end.totals.checked), (Why::NothingToSend, false));
    }
}
