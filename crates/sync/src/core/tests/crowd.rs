//! 10,000 clients of one backend, in simulated time: each browses a visit a minute, and its session is renewed every
//! quarter of an hour, as the agent does it. Every request counts.

use super::*;
use crate::answer::TransportError;

const CLIENTS: u64 = 10_000;
const WINDOW: i64 = 10_000;
const MINUTE: i64 = 60_000;
/// How long an access token lasts, and how long before its end it is renewed.
const TOKEN: i64 = 15 * MINUTE;
const EARLY: i64 = 30_000;

struct Client {
    core: Core,
    /// What it waits to go on with.
    waits: bool,
    last_good: i64,
    /// Up to when its visits were accepted.
    accepted: i64,
    /// When its access token ends.
    token: i64,
}

/// The clients, and how many requests the backend had in each window.
struct Crowd {
    clients: Vec<Client>,
    due: BTreeSet<(i64, u64)>,
    load: BTreeMap<i64, u64>,
    down: std::ops::Range<i64>,
    steps: u32,
}

impl Crowd {
    fn new(down: std::ops::Range<i64>) -> Crowd {
        let start = |client: u64| (jitter(client, 0) * 300_000.0) as i64;
        let clients = (0..CLIENTS).map(|client| Client {
            core: Core::new(Policy::default()),
            waits: false,
            last_good: 0,
            accepted: start(client),
            // They signed in at any time before.
            token: start(client) + (jitter(client, u32::MAX) * TOKEN as f64) as i64,
        });
        let due = (0..CLIENTS).map(|client| (start(client), client)).collect();
        Crowd { clients: clients.collect(), due, load: BTreeMap::new(), down, steps: 0 }
    }

    fn go_on_until(&mut self, end: i64) {
        while let Some((now, client)) = self.due.pop_first().filter(|(now, _)| *now < end) {
            let next = self.one(client, now);
            self.due.insert((next, client));
        }
    }

    /// A request, and whether it is answered.
    fn request(&mut self, now: i64) -> bool {
        *self.load.entry(now / WINDOW).or_default() += 1;
        !self.down.contains(&now)
    }

    fn reply(&mut self, now: i64, body: &str) -> Outcome {
        Outcome::Reply(match self.request(now) {
            true => Ok(answer(200, body)),
            false => Err(TransportError::Refused),
        })
    }

    /// With a token that lasts, as the agent sends it: one that ends soon is renewed before; one that is over, and
    /// cannot be, is not used.
    fn signed_in(&mut self, client: usize, now: i64, body: &str) -> Outcome {
        if self.clients[client].token - EARLY <= now {
            match self.request(now) {
                true => self.clients[client].token = now + TOKEN,
                false if self.clients[client].token <= now => {
                    let why = Why::NoAnswer { error: TransportError::Refused };
                    return Outcome::Refreshed(Refreshed::NotNow(why, None));
                }
                false => {}
            }
        }
        self.reply(now, body)
    }

    /// Until it waits for something; for when.
    fn one(&mut self, client: u64, now: i64) -> i64 {
        let index = client as usize;
        self.steps += 1;
        let draw = jitter(client, self.steps);
        let it = &mut self.clients[index];
        let mut task = match std::mem::take(&mut it.waits) {
            false => it.core.begin(Trigger::Periodic, now, draw),
            true => it.core.told(Outcome::Woken, now, draw),
        };
        loop {
            let outcome = match task {
                Task::Finish(end) => {
                    if end.why.outlook() == Outlook::Good {
                        self.clients[index].last_good = now;
                    }
                    return end.next_at_ms.unwrap();
                }
                Task::Wait { until_ms, .. } => {
                    self.clients[index].waits = true;
                    return until_ms;
                }
                Task::LearnCapabilities => self.reply(now, "{}"),
                Task::TakeBatch(_) => {
                    // One record stands for all of its batch.
                    let waits = now - self.clients[index].accepted >= MINUTE;
                    let batch = Batch { batch_id: "b".into(), items: vec![item(0)], bytes: 100 };
                    Outcome::Taken(Taken { batch: waits.then_some(batch), ..Taken::default() })
                }
                Task::Check => self.signed_in(index, now, r#"{"data":{"id":1}}"#),
                Task::Send { .. } => self.signed_in(index, now, r#"{"success":true,"batchId":"b"}"#),
                Task::Settle(settlement) => {
                    let it = &mut self.clients[index];
                    let batch = ((now - it.accepted) / MINUTE).min(100);
                    it.accepted += settlement.confirm.len() as i64 * batch * MINUTE;
                    Outcome::Settled
                }
                task => panic!("not expected: {task:?}"),
            };
            task = self.clients[index].core.told(outcome, now, draw);
        }
    }

    /// The most requests in a window, and how many there are in one on average.
    fn load(&self, from: i64, to: i64) -> (f64, f64) {
        let windows = self.load.range(from / WINDOW..to / WINDOW).map(|(_, load)| *load as f64);
        let (most, all) = windows.fold((0.0_f64, 0.0), |(most, all), load| (most.max(load), all + load));
        (most, all * WINDOW as f64 / (to - from) as f64)
    }
}

/// Their backend comes back after an hour, when each has an hour's visits and a token that is long over: nobody storms
/// it, and all of it arrives.
#[test]
fn after_an_outage_the_load_stays_within_twice_the_steady_rate() {
    // Each has learnt what the backend can do in the first minutes, and renewed its session once in the quarter after.
    let (settled, down, up, end) = (5 * MINUTE, 20 * MINUTE, 80 * MINUTE, 125 * MINUTE);
    let mut crowd = Crowd::new(down..up);
    crowd.go_on_until(end);
    let (_, steady) = crowd.load(settled, down);
    let (peak, _) = crowd.load(up, end);
    assert!((1.2..1.5).contains(&(steady / (CLIENTS as f64 * WINDOW as f64 / 300_000.0))), "{steady}");
    assert!(peak <= 2.0 * steady, "peak {peak}, steady {steady}");
    assert!(crowd.clients.iter().all(|it| it.last_good > up), "somebody never came back");
    let oldest = end - crowd.clients.iter().map(|it| it.accepted).min().unwrap();
    assert!(oldest <= 8 * MINUTE, "somebody's visits wait for {oldest} ms");
}

/// A backend tells them all one time, and each has so much waiting that it asks for a run again and again meanwhile.
#[test]
fn those_who_were_told_one_time_do_not_come_back_in_one_second() {
    const UNTIL: i64 = 10 * MINUTE;
    // Some have only what the last start kept of it.
    for kept in [false, true] {
        let mut asked: BTreeMap<i64, u32> = BTreeMap::new();
        for client in 0..1_000 {
            let mut core = Core::new(Policy::default());
            let mut draws = 0;
            let mut draw = || {
                draws += 1;
                jitter(client, draws)
            };
            if kept {
                core.ask_not_before(UNTIL);
            } else {
                let capabilities = answer(429, r#"{"retry_after":600}"#);
                let mut queue = Queue { capabilities, batches: client, ..Queue::of(1) };
                run_at(&mut core, &mut queue, &mut saved, Trigger::Periodic, &mut 0);
            }
            let mut next = 0;
            let at = (1..).map(|second| second * 1_000).find(|now| {
                let trigger = if *now >= next && next > 0 { Trigger::Periodic } else { Trigger::Backlog };
                match core.begin(trigger, *now, draw()) {
                    Task::Finish(end) => {
                        next = end.next_at_ms.unwrap();
                        false
                    }
                    _ => true,
                }
            });
            *asked.entry(at.unwrap() / WINDOW).or_default() += 1;
        }
        assert!(asked.keys().all(|at| at * WINDOW >= UNTIL), "{asked:?}");
        // 150 s hold them.
        assert!(asked.values().all(|load| *load <= 150), "{asked:?}");
    }
}
