//! The core against a model: a queue, and a backend that answers by a rule.

use super::*;
use crate::answer::{Answer, TransportError};
use crate::task::{BatchItem, Pick, Role};
use crate::why::Stop;
use heyho_records::reason::Reason;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A queue of rows, and what became of them.
#[derive(Default)]
struct Queue {
    waiting: Vec<BatchItem>,
    in_flight: Option<Batch>,
    confirmed: Vec<i64>,
    set_aside: BTreeMap<i64, Reason>,
    keys: u64,
    batches: u64,
}

fn item(seq: i64) -> BatchItem {
    let kind = if seq % 3 == 2 { Kind::TabAggregate } else { Kind::PageVisit };
    let row = RowRef { kind, seq, revision: 1 };
    BatchItem { row, id: format!("r{seq}"), attempts: 0, role: Role::Own }
}

impl Queue {
    fn of(count: i64) -> Queue {
        Queue { waiting: (0..count).map(item).collect(), ..Queue::default() }
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
            self.keys += 1;
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

fn run_at(
    core: &mut Core,
    queue: &mut Queue,
    backend: &mut dyn FnMut(&Batch) -> Reply,
    trigger: Trigger,
    now: &mut i64,
) -> RunEnd {
    let jitter = |step: u32| f64::from(step.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
    let mut task = core.begin(trigger, *now, jitter(1));
    for step in 2..200_000 {
        let outcome = match task {
            Task::Finish(end) => {
                assert!(!core.is_running());
                return end;
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
            Task::Check => Outcome::Reply(Ok(answer(200, r#"{"success":true,"data":{"user":{"id":"1"}}}"#))),
            Task::Wait { until_ms, .. } => {
                assert!(until_ms >= *now);
                *now = until_ms;
                Outcome::Woken
            }
        };
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
