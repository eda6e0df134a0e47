//! The core against a model: a queue, and a backend that answers by a rule.

mod actions;
mod crowd;
mod heyho;
mod poison;
mod sick;

use super::*;
use crate::answer::{Answer, Reply};
use crate::task::{BatchFate, BatchItem, BatchLimits, Pick, Refreshed, Role, Settlement, Taken, Vouched};
use crate::why::Outlook;
use heyho_records::Kind;
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
    /// What was confirmed last, of each kind.
    known_good: BTreeMap<Kind, BatchItem>,
    /// Two records that are only ever given together.
    circle: Option<[i64; 2]>,
    /// Nothing of this kind is at hand to be sent once more.
    not_at_hand: Option<Kind>,
    /// So many refreshes cannot be answered, for this reason.
    not_now: u32,
    not_now_why: Why,
    /// How often the capabilities were asked for.
    learning: u64,
    /// … and so long it is to be left alone then.
    not_before: Option<Duration>,
    capabilities: Answer,
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
            known_good: BTreeMap::new(),
            circle: None,
            not_at_hand: None,
            not_now: 0,
            not_now_why: Why::ServerError { status: 503 },
            learning: 0,
            not_before: None,
            capabilities: answer(404, ""),
        }
    }

    fn take(&mut self, limits: &BatchLimits) -> Taken {
        if self.in_flight.is_none() {
            let mut room = [limits.max_page_visits, limits.max_tab_aggregates];
            let picked = |item: &&BatchItem| match &limits.pick {
                Pick::Oldest { skip } => !skip.iter().any(|row| row.key() == item.row.key()),
                Pick::Rows(rows) => rows.iter().any(|row| row.key() == item.row.key()),
            };
            let parted = |rows: &[BatchItem]| {
                let has = |seq: &i64| rows.iter().any(|it| it.row.seq == *seq);
                self.circle.is_some_and(|circle| circle.iter().filter(|seq| has(seq)).count() == 1)
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
            if parted(&items) {
                items.retain(|it| !self.circle.is_some_and(|circle| circle.contains(&it.row.seq)));
            }
            items.sort_by_key(|item| item.row.kind);
            self.batches += 1;
            self.keys += u64::from(!items.is_empty());
            let batch_id = format!("b{}", self.batches);
            self.in_flight = (!items.is_empty()).then_some(Batch { batch_id, items, bytes });
        }
        Taken { batch: self.in_flight.clone(), ..Taken::default() }
    }

    fn settle(&mut self, settlement: Settlement) {
        for row in settlement.confirm {
            let good =
                self.waiting.iter().find(|item| item.row == row).expect("only what waits is confirmed");
            self.known_good.insert(row.kind, good.clone());
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
            Task::LearnCapabilities => {
                queue.learning += 1;
                Outcome::Reply(Ok(queue.capabilities.clone()))
            }
            Task::TakeBatch(limits) => Outcome::Taken(queue.take(&limits)),
            Task::Send { .. } => {
                let batch = queue.in_flight.clone().expect("a batch is in flight when it is sent");
                Outcome::Reply(backend(&batch))
            }
            Task::Settle(settlement) => {
                queue.settle(settlement);
                Outcome::Settled
            }
            Task::RefreshToken if queue.not_now > 0 => {
                queue.not_now -= 1;
                Outcome::Refreshed(Refreshed::NotNow(queue.not_now_why.clone(), queue.not_before))
            }
            Task::RefreshToken => Outcome::Refreshed(Refreshed::Yes),
            Task::Check => Outcome::Reply(queue.check.clone()),
            Task::Vouch { kind } if queue.not_at_hand == Some(kind) => Outcome::Vouched(None),
            Task::Vouch { kind } => Outcome::Vouched(queue.known_good.get(&kind).map(|item| {
                let batch = Batch { batch_id: "vouch".into(), items: vec![item.clone()], bytes: 150 };
                Vouched { reply: backend(&batch), batch }
            })),
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

/// 256 cases, or `PROPTEST_CASES`. A failure prints its case and leaves no file: the planted fault fails often.
fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}
