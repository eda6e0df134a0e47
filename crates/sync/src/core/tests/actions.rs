//! Each answer, and what is done about it.

use super::*;
use crate::answer::TransportError;
use crate::why::Stop;

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
fn a_refresh_that_nobody_answers_is_not_the_end_of_the_session() {
    let mut queue = Queue { not_now: 2, ..Queue::of(10) };
    let refused = Ok(answer(401, ""));
    let end = once(&mut queue, vec![refused.clone(), refused.clone(), refused.clone()]);
    assert_eq!((end.why, queue.confirmed.len()), (Why::Emptied, 10));
    let mut queue = Queue { not_now: u32::MAX, ..Queue::of(10) };
    let end = once(&mut queue, vec![refused; 9]);
    assert_eq!((end.why, queue.waiting.len()), (Why::ServerError { status: 503 }, 10));
    assert!(end.next_at_ms.is_some());
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
    // The time that was drawn after it holds.
    assert_eq!((again.why, again.next_at_ms, again.totals.requests), (Why::AskedToWait, end.next_at_ms, 0));
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
    assert!((3_600_000..=4_500_000).contains(&end.next_at_ms.unwrap()), "{end:?}");
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
fn stop_during_a_request_that_fails_waits_for_no_other_one() {
    let (mut core, mut queue) = (Core::new(Policy::default()), Queue::of(1_000));
    let mut task = core.begin(Trigger::SyncNow, 0, 0.5);
    let end = loop {
        let outcome = match task {
            Task::LearnCapabilities => Outcome::Reply(Ok(answer(404, ""))),
            Task::TakeBatch(limits) => Outcome::Taken(queue.take(&limits)),
            Task::Send { .. } => {
                core.stop();
                Outcome::Reply(Ok(answer(500, "")))
            }
            Task::Finish(end) => break end,
            task => panic!("not expected: {task:?}"),
        };
        task = core.told(outcome, 0, 0.5);
    };
    assert_eq!((end.why, end.next_at_ms), (Why::Stopped { by: Stop::Asked }, None));
    assert!(queue.confirmed.is_empty());
}

#[test]
fn an_outcome_that_answers_no_task_ends_the_run_and_touches_nothing() {
    let mut core = Core::new(Policy::default());
    assert!(matches!(core.told(Outcome::Woken, 0, 0.5), Task::Finish(end) if end.why == Why::Internal));
    core.begin(Trigger::Periodic, 0, 0.5);
    assert!(matches!(core.told(Outcome::Settled, 0, 0.5), Task::Finish(end) if end.why == Why::Internal));
    for by in [Stop::Asked, Stop::SignedOut, Stop::AccountChanged, Stop::BufferProblem, Stop::BufferBusy] {
        core.begin(Trigger::Periodic, 0, 0.5);
        let Task::Finish(end) = core.told(Outcome::Stop(by), 0, 0.5) else { panic!("a stop is a stop") };
        let again = matches!(by, Stop::BufferProblem | Stop::BufferBusy);
        assert_eq!((end.why, end.next_at_ms.is_some()), (Why::Stopped { by }, again));
        // A store that is only busy is soon free again, and is no word of the backend.
        assert!(by != Stop::BufferBusy || end.next_at_ms <= Some(30_000), "{:?}", end.next_at_ms);
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
    let taken = Taken { batch: Some(batch), ..Taken::default() };
    assert_eq!(core.told(Outcome::Taken(taken), 0, 0.5), Task::Send { gzip: true });
}

#[test]
fn whichever_answer_asks_to_be_left_alone_is_heeded_whoever_signs_in_there() {
    let hour = Some(Duration::from_secs(3_600));
    // The document of what it can do.
    let (mut core, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(3), 0);
    queue.capabilities = Answer { status: 503, retry_after: Some("3600".into()), ..Answer::default() };
    let end = run_at(&mut core, &mut queue, &mut saved, Trigger::SyncNow, &mut now);
    assert_eq!((&end.why, end.totals.requests), (&Why::ServerError { status: 503 }, 0));
    // The renewal of a session.
    let (mut other, mut queue, mut now) = (Core::new(Policy::default()), Queue::of(3), 0);
    (queue.not_now, queue.not_before) = (1, hour);
    let mut expired = |_: &Batch| Ok(answer(401, ""));
    let end = run_at(&mut other, &mut queue, &mut expired, Trigger::SyncNow, &mut now);
    assert_eq!((&end.why, end.totals.requests), (&Why::ServerError { status: 503 }, 1));
    for mut core in [core, other] {
        assert_eq!(core.not_before(), Some(3_600_000));
        core.forget_session();
        core.forget_failures();
        let end = run_at(&mut core, &mut queue, &mut saved, Trigger::SignedIn, &mut 3_599_000);
        assert_eq!(end.why, Why::AskedToWait);
        assert!((3_600_000..=3_600_250).contains(&end.next_at_ms.unwrap()));
        core.forget_backend();
        let end = run_at(&mut core, &mut queue, &mut saved, Trigger::SignedIn, &mut 3_599_000);
        assert_eq!(end.why.outlook(), Outlook::Good);
    }
}
