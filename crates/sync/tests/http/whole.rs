//! Core, planner and driver together against a backend that fails in every possible way, once or as long as a run
//! lasts: each record ends at the backend, none is confirmed that it does not hold, none is blamed, none is saved
//! under two keys but where an answer proved nothing, and what is said is what is so.

use crate::server::{Request, read_request};
use heyho_records::Kind;
use heyho_sync::base_url::BaseUrl;
use heyho_sync::core::Core;
use heyho_sync::driver::{Driver, DriverConfig, ProxySetting};
use heyho_sync::known_good::KnownGood;
use heyho_sync::plan::{Candidate, Envelope, plan};
use heyho_sync::policy::Policy;
use heyho_sync::secret::Secret;
use heyho_sync::task::{
    Batch, BatchFate, Outcome, Pick, Refreshed, RowRef, RunEnd, Settlement, Taken, Task, Trigger, Vouched,
};
use heyho_sync::why::Outlook;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with the next batch.
#[derive(Debug, Clone)]
pub struct Fault {
    pub status: u16,
    pub body: &'static str,
    /// How much of the answer is sent, in hundredths of its length.
    pub sent: usize,
    /// The batch is saved all the same.
    pub commits: bool,
    /// One byte at a time, too slowly for anyone to wait for the end.
    pub slow: bool,
    /// It stays until it is taken away.
    pub stays: bool,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    /// What is saved, and under which keys it was: one key is one effect, its repetitions are replays.
    held: BTreeMap<String, BTreeSet<String>>,
    /// Key and batch of every request, to see that a retry is the same.
    keys: Vec<(String, Vec<u8>)>,
}

/// Saves what it is sent, but for the fault it is given.
#[derive(Clone, Default)]
pub struct Backend(Arc<Mutex<State>>);

impl Backend {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let backend = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let backend = backend.clone();
                tokio::spawn(async move { backend.serve(stream).await });
            }
        });
        url
    }

    async fn serve(&self, mut stream: TcpStream) {
        if let Some(request) = read_request(&mut stream).await {
            self.give(stream, &request).await;
        }
    }

    pub async fn give(&self, mut stream: TcpStream, request: &Request) {
        let (answer, slow) = self.answer(request);
        if slow {
            let mut tick = tokio::time::interval(SLOW_BYTE);
            for byte in &answer {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tick.tick().await;
            }
        } else {
            let _ = stream.write_all(&answer).await;
        }
        let _ = stream.shutdown().await;
    }

    /// Whether the next answer is one.
    fn is_slow(&self) -> bool {
        self.0.lock().unwrap().fault.as_ref().is_some_and(|fault| fault.slow)
    }

    fn answer(&self, request: &Request) -> (Vec<u8>, bool) {
        if request.line.starts_with("GET /api/v1/auth/me") {
            return (whole(200, r#"{"success":true,"data":{"user":{"id":"1"}}}"#), false);
        }
        if !request.line.starts_with("POST /api/v1/data/sync") {
            return (whole(404, ""), false);
        }
        let mut state = self.0.lock().unwrap();
        let key = request.header("idempotency-key").unwrap();
        state.keys.push((key.clone(), request.body.clone()));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let visits = body["pageVisits"].as_array().unwrap();
        let fault = state.fault.take();
        if fault.as_ref().is_some_and(|fault| fault.stays) {
            state.fault.clone_from(&fault);
        }
        if fault.as_ref().is_none_or(|fault| fault.commits) {
            for visit in visits {
                state.held.entry(visit["id"].as_str().unwrap().to_owned()).or_default().insert(key.clone());
            }
        }
        match fault {
            None => {
                let count = visits.len();
                let said = format!(
                    r#"{{"success":true,"batchId":{},"data":{{"page_visits_synced":{count}}}}}"#,
                    body["batchId"]
                );
                (whole(200, &said), false)
            }
            Some(fault) => {
                let mut answer = whole(fault.status, fault.body);
                answer.truncate(answer.len() * fault.sent / 100);
                (answer, fault.slow)
            }
        }
    }
}

fn whole(status: u16, body: &str) -> Vec<u8> {
    let location = if (300..400).contains(&status) { "Location: http://portal.invalid/\r\n" } else { "" };
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{location}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Who asks: patiently, but for an answer that comes too slowly for anyone.
pub struct Client {
    pub patient: Driver,
    pub hasty: Driver,
}

impl Client {
    fn of(driver: Driver) -> Client {
        Client { hasty: driver.clone(), patient: driver }
    }

    fn driver(&self, backend: &Backend) -> &Driver {
        if backend.is_slow() { &self.hasty } else { &self.patient }
    }
}

/// What the agent keeps on disk.
struct Store {
    /// Its keys begin with this.
    name: String,
    waiting: BTreeMap<i64, String>,
    in_flight: Option<(Batch, Vec<u8>, String)>,
    confirmed: BTreeSet<String>,
    set_aside: usize,
    known_good: KnownGood,
    keys: u32,
}

impl Store {
    fn of(name: &str, count: i64) -> Store {
        let waiting = (0..count).map(|seq| (seq, format!(r#"{{"id":"v{seq}"}}"#))).collect();
        let (name, known_good) = (name.to_owned(), KnownGood::default());
        Store {
            name,
            waiting,
            in_flight: None,
            confirmed: BTreeSet::new(),
            set_aside: 0,
            known_good,
            keys: 0,
        }
    }

    fn new_key(&mut self) -> String {
        self.keys += 1;
        format!("{}-key-{}", self.name, self.keys)
    }

    fn take(&mut self, limits: &heyho_sync::task::BatchLimits) -> Taken {
        if self.in_flight.is_none() {
            let key = self.new_key();
            let ids: Vec<String> = self.waiting.keys().map(|seq| format!("v{seq}")).collect();
            let rows = self.waiting.iter().zip(&ids).map(|((seq, text), id)| Candidate {
                row: RowRef { kind: Kind::PageVisit, seq: *seq, revision: 1 },
                source: "s",
                id,
                id_derived: false,
                page_visit_id: None,
                attempts: 0,
                text,
                tab: None,
                opener: None,
                anchor: None,
            });
            let picked = |candidate: &Candidate<'_>| match &limits.pick {
                Pick::Oldest { skip } => !skip.contains(&candidate.row),
                Pick::Rows(rows) => rows.contains(&candidate.row),
            };
            let envelope = Envelope { batch_id: key.clone(), ..Envelope::default() };
            let plan = plan(&envelope, limits, rows.filter(picked));
            if plan.items.is_empty() {
                return Taken::default();
            }
            let batch = Batch { batch_id: key.clone(), items: plan.items, bytes: plan.body.len() };
            self.in_flight = Some((batch, plan.body, key));
        }
        let batch = self.in_flight.as_ref().map(|(batch, ..)| batch.clone());
        Taken { batch, ..Taken::default() }
    }

    fn settle(&mut self, settlement: &Settlement) {
        if let Some((batch, body, _)) = &self.in_flight {
            self.known_good.learn(batch, body, &settlement.confirm);
        }
        for row in &settlement.confirm {
            self.waiting.remove(&row.seq).unwrap();
            self.confirmed.insert(format!("v{}", row.seq));
        }
        self.set_aside += settlement.set_aside.len();
        match settlement.batch {
            BatchFate::End => self.in_flight = None,
            BatchFate::Keep => {}
            BatchFate::Rekey => {
                let key = self.new_key();
                self.in_flight.as_mut().unwrap().2 = key;
            }
        }
    }
}

/// One run; waits are not waited for.
async fn run(
    core: &mut Core,
    store: &mut Store,
    client: &Client,
    backend: &Backend,
    now: &mut i64,
) -> RunEnd {
    let token = Secret::new("t");
    let mut task = core.begin(Trigger::SyncNow, *now, 0.5);
    loop {
        let driver = client.driver(backend);
        let outcome = match task {
            Task::Finish(end) => return end,
            Task::LearnCapabilities => Outcome::Reply(driver.capabilities().await),
            Task::TakeBatch(limits) => Outcome::Taken(store.take(&limits)),
            Task::Send { gzip } => {
                let (_, body, key) = store.in_flight.clone().unwrap();
                Outcome::Reply(driver.sync(body, &key, &token, gzip).await)
            }
            Task::Settle(settlement) => {
                store.settle(&settlement);
                Outcome::Settled
            }
            Task::RefreshToken => Outcome::Refreshed(Refreshed::Yes),
            Task::Check => Outcome::Reply(driver.check(&token).await),
            Task::Vouch { kind } => {
                let key = format!("{}-vouch", store.name);
                match store.known_good.request(kind, &key, "d") {
                    Some((batch, body)) => {
                        let reply = driver.sync(body, &key, &token, false).await;
                        Outcome::Vouched(Some(Vouched { batch, reply }))
                    }
                    None => Outcome::Vouched(None),
                }
            }
            Task::Wait { until_ms, .. } => {
                *now = until_ms;
                Outcome::Woken
            }
        };
        task = core.told(outcome, *now, 0.5);
    }
}

pub const STATUSES: [u16; 31] = [
    200, 201, 202, 204, 301, 302, 307, 400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 413, 418, 422, 425,
    426, 429, 451, 500, 501, 502, 503, 504, 511, 599,
];

pub const BODIES: [&str; 9] = [
    r#"{"success":true,"data":{"page_visits_synced":0}}"#,
    r#"{"success":false}"#,
    r#"{"success":true,"data":{"page_visits_sy"#,
    r#"{"success":false,"code":"SYNC_FAILED","error":"x"}"#,
    r#"{"success":true,"batchId":"another"}"#,
    "<!DOCTYPE html><html><body>Please sign in to our network</body></html>",
    "[1]",
    "OK",
    "",
];

#[tokio::test]
async fn whatever_goes_wrong_once_every_record_arrives_and_none_is_confirmed_that_did_not() {
    let backend = Backend::default();
    let client = client(&backend).await;
    let mut tried = 0;
    for status in STATUSES {
        for body in BODIES {
            for sent in [0, 10, 60, 99, 100] {
                for commits in [false, true] {
                    let fault = Fault { status, body, sent, commits, slow: false, stays: false };
                    once("one", &backend, &client, &fault).await;
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 31 * 9 * 5 * 2);
}

#[tokio::test]
async fn whatever_stays_wrong_for_a_run_is_said_in_its_own_sentence_and_costs_nothing() {
    let backend = Backend::default();
    let client = client(&backend).await;
    for status in STATUSES {
        for body in BODIES {
            for sent in [0, 60, 100] {
                let fault = Fault { status, body, sent, commits: sent == 60, slow: false, stays: true };
                for_a_run("one", &backend, &client, &fault, &sentence(&fault)).await;
            }
        }
    }
}

/// The sentences of docs/sync.md, written here once more from its table.
fn sentence(fault: &Fault) -> String {
    let Fault { status, body, sent, .. } = fault;
    // A 204 has no body that could be cut.
    let head = whole(*status, body).len() - body.len();
    if *sent < 100 && (*status != 204 || whole(*status, body).len() * sent / 100 < head) {
        return "The connection broke before the answer was complete.".to_owned();
    }
    let fault_of_its_own =
        format!("The backend has a fault of its own (status {status}). Your records are kept.");
    if body.contains("SYNC_FAILED") && *status != 204 {
        return fault_of_its_own;
    }
    let portal = "A web page answered instead of the backend: this network may want a sign-in of its own (as in hotels and cafés), or the backend's address is wrong. Nothing counts as delivered.";
    match status {
        200 if body.contains(r#""page_visits_synced":0"#) => {
            "The backend takes page visits and confirms none of them. They are kept.".to_owned()
        }
        200 if body.contains("false") => {
            "The backend answered, and did not say that it saved the records.".to_owned()
        }
        200 if body.contains("another") => {
            "The answer belongs to another request. Nothing counts as delivered.".to_owned()
        }
        200 | 401 if body.starts_with('<') => portal.to_owned(),
        200 if body.is_empty() => "The backend's answer was empty. Nothing counts as delivered.".to_owned(),
        200 if *body == "[1]" => {
            "The backend's answer was not in the expected form. Nothing counts as delivered.".to_owned()
        }
        200 => "The backend's answer could not be read. Nothing counts as delivered.".to_owned(),
        201 | 202 | 204 => {
            format!("The backend answered with status {status}, which confirms nothing.")
        }
        301 => {
            "The backend says it has moved to http://portal.invalid: check the backend's address.".to_owned()
        }
        302 | 307 | 511 => portal.to_owned(),
        400 | 413 | 422 => format!(
            "The backend refuses everything it is sent (status {status}). What waits is kept: it is likely good."
        ),
        401 => "The session has ended: sign in again to go on sending.".to_owned(),
        403 => "The backend does not let this account send records (403).".to_owned(),
        404 | 410 => {
            "There is no HeyHo backend at this address (404): check the backend's address.".to_owned()
        }
        405 | 501 => "The program at the backend's address does not take records (405).".to_owned(),
        407 => "The proxy wants a sign-in (407): check the setting backend.proxy.".to_owned(),
        408 | 425 => "The backend took too long to answer.".to_owned(),
        409 => "The backend is still at work on what was sent last.".to_owned(),
        426 => "The backend wants a newer version of HeyHo Companion (426).".to_owned(),
        429 => "The backend asks for fewer requests for a while.".to_owned(),
        500..=599 => fault_of_its_own,
        _ => format!("The backend answered with status {status}, which no HeyHo backend uses here."),
    }
}

async fn client(backend: &Backend) -> Client {
    Client::of(Driver::new(&config(&backend.start().await)).unwrap())
}

pub fn config(url: &str) -> DriverConfig {
    DriverConfig {
        base_url: BaseUrl::parse(url, false).unwrap(),
        ca_file: None,
        proxy: ProxySetting::Off,
        device_id: "d".into(),
        user_agent: "t".into(),
    }
}

/// At one byte a second a whole answer takes minutes, and 90 s are waited for: here a byte takes 50 ms, and nobody who is
/// hasty waits for the 56 of the shortest.
const SLOW_BYTE: Duration = Duration::from_millis(50);

/// It goes wrong with one request: everything arrives all the same, and no later than in the next run.
pub async fn once(name: &str, backend: &Backend, client: &Client, fault: &Fault) {
    *backend.0.lock().unwrap() = State { fault: Some(fault.clone()), ..State::default() };
    let (mut core, mut store, mut now) = (Core::new(Policy::default()), Store::of(name, 3), 0);
    let mut runs = 0;
    while !store.waiting.is_empty() {
        runs += 1;
        assert!(runs <= 2, "{fault:?}: it is stuck");
        let end = run(&mut core, &mut store, client, backend, &mut now).await;
        let outlook = end.why.outlook();
        assert_eq!(outlook == Outlook::Good, store.waiting.is_empty(), "{fault:?}: {end:?}");
        now = end.next_at_ms.unwrap();
    }
    let state = backend.0.lock().unwrap();
    let held: BTreeSet<String> = state.held.keys().cloned().collect();
    assert_eq!((store.confirmed.len(), &store.confirmed), (3, &held), "{fault:?}");
    // A refusal is answered with other requests, and no proof, at last, with a new key; all else with the same.
    let may_divide = !fault.slow && matches!(fault.status, 200 | 400 | 413 | 422);
    let effects = state.held.values().map(BTreeSet::len).max();
    assert!(may_divide || effects == Some(1), "{fault:?}: {:?}", state.held);
    assert_eq!(store.set_aside, 0, "{fault:?}");
    assert!(state.keys.len() <= 12, "{fault:?}: {} requests", state.keys.len());
    // One key never stands for two bodies.
    let bodies: BTreeMap<_, _> = state.keys.iter().cloned().collect();
    assert!(state.keys.iter().all(|(key, body)| bodies[key] == *body), "{fault:?}");
}

/// It goes wrong with every request of a run, which says so, and with none of the next.
pub async fn for_a_run(name: &str, backend: &Backend, client: &Client, fault: &Fault, sentence: &str) {
    *backend.0.lock().unwrap() = State { fault: Some(fault.clone()), ..State::default() };
    let (mut core, mut store, mut now) = (Core::new(Policy::default()), Store::of(name, 3), 0);
    let end = run(&mut core, &mut store, client, backend, &mut now).await;
    assert_eq!(end.why.sentence(), sentence, "{fault:?}");
    assert_eq!((store.waiting.len(), store.set_aside), (3, 0), "{fault:?}");
    assert!(end.totals.requests <= 12, "{fault:?}: {} requests", end.totals.requests);
    now = end.next_at_ms.unwrap_or(now);
    backend.0.lock().unwrap().fault = None;
    let end = run(&mut core, &mut store, client, backend, &mut now).await;
    assert_eq!((end.why.outlook(), store.waiting.len()), (Outlook::Good, 0), "{fault:?}: {end:?}");
}
