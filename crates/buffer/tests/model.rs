//! Random histories of the buffer against a model of it that was written from the contract alone: lists and
//! maps, no SQL, no revision arithmetic shared with the program.
//!
//! After every step the whole buffer is compared: each record with its place in the queue, revision, content,
//! state and owner, the batch in flight, and the counters. A crash is what a kill leaves behind: the files
//! are copied while they are open, and the copy is opened.
//!
//! `HEYHO_MODEL_CASES` sets how many histories there are. With the fault `same-revision` this suite must fail
//! (`xtask/src/controls.rs`).

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

use heyho_buffer::*;
use heyho_records::Kind;
use heyho_records::reason::Reason;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const NOW: i64 = 1_700_000_000_000;
const DAY: i64 = 86_400_000;
const USERS: usize = 2;
const UNKNOWN_REF: &str = "a-ref-nobody-has";

/// One version of a record: two of the same (end, title) are the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    kind: Kind,
    id: u8,
    end: u8,
    title: u8,
    /// Breaks a rule of the contract: kept among the failed.
    bad: bool,
}

impl Version {
    fn text(self) -> String {
        let Version { id, end, title, bad, .. } = self;
        let id_part = if self.kind == Kind::PageVisit { format!("v{id}") } else { format!("t{id}") };
        match (self.kind, bad) {
            (Kind::PageVisit, false) => format!(
                r#"{{"id":"{id_part}","url":"http://a/","startedAt":1,"endedAt":{end},"title":"{title}"}}"#
            ),
            (Kind::PageVisit, true) => format!(r#"{{"id":"{id_part}","startedAt":1,"title":"{title}"}}"#),
            (Kind::TabAggregate, false) => format!(
                r#"{{"id":"{id_part}","startTime":1,"tabId":{id},"lastActiveTime":{end},"x":{title}}}"#
            ),
            (Kind::TabAggregate, true) => {
                format!(
                    r#"{{"id":"{id_part}","startTime":1,"tabId":{id},"totalActiveDuration":-1,"x":{title}}}"#
                )
            }
        }
    }

    fn id(self) -> String {
        format!("{}{}", if self.kind == Kind::PageVisit { "v" } else { "t" }, self.id)
    }
}

#[derive(Debug, Clone)]
enum Under {
    /// The frame names no account.
    Nobody,
    User(usize),
    Unknown,
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        source: u8,
        under: Under,
        frames: Vec<Vec<Version>>,
    },
    Batch {
        user: usize,
        visits: usize,
        aggregates: usize,
    },
    /// What becomes of each record of the batch in flight, and of the batch.
    Settle {
        user: usize,
        answers: Vec<u8>,
        fate: u8,
    },
    Retry(Option<usize>),
    Discard(Option<usize>),
    Keep(Option<usize>),
    SignIn {
        user: usize,
        claim: bool,
    },
    SignOut,
    Days(i64),
    Crash,
}

fn version() -> impl Strategy<Value = Version> {
    (any::<bool>(), 0..4u8, 0..4u8, 0..2u8, prop::bool::weighted(0.1)).prop_map(
        |(visit, id, end, title, bad)| Version {
            kind: if visit { Kind::PageVisit } else { Kind::TabAggregate },
            id,
            end,
            title,
            bad,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let under = prop_oneof![
        6 => Just(Under::Nobody), 2 => (0..USERS).prop_map(Under::User), 1 => Just(Under::Unknown)];
    let frames = prop::collection::vec(prop::collection::vec(version(), 0..5), 1..4);
    let one = || prop_oneof![Just(None), (0..4usize).prop_map(Some)];
    prop_oneof![
        10 => (0..2u8, under, frames)
            .prop_map(|(source, under, frames)| Step::Append { source, under, frames }),
        6 => (0..USERS, 0..4usize, 0..4usize)
            .prop_map(|(user, visits, aggregates)| Step::Batch { user, visits, aggregates }),
        6 => (0..USERS, prop::collection::vec(0..6u8, 8), 0..6u8)
            .prop_map(|(user, answers, fate)| Step::Settle { user, answers, fate }),
        2 => one().prop_map(Step::Retry),
        1 => one().prop_map(Step::Discard),
        1 => one().prop_map(Step::Keep),
        3 => (0..USERS, any::<bool>()).prop_map(|(user, claim)| Step::SignIn { user, claim }),
        2 => Just(Step::SignOut),
        1 => (1..9i64).prop_map(Step::Days),
        2 => Just(Step::Crash),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Failed,
    Kept,
}

/// Whose a row is, and without one who may claim it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    User(usize),
    FirstToCome,
    Only(usize),
    Stranger,
}

type Identity = (u8, Kind, String);

#[derive(Debug, Clone)]
struct Row {
    /// Grows with the place in the queue; never given twice.
    place: u64,
    identity: Identity,
    text: String,
    end: u8,
    revision: i64,
    state: State,
    owner: Owner,
    /// It was good when it arrived.
    accepted: bool,
}

#[derive(Debug, Default)]
struct Model {
    rows: Vec<Row>,
    delivered: BTreeMap<(u8, u8, String), (String, i64, i64)>,
    /// By user: (place, revision, kind).
    batches: BTreeMap<usize, Vec<(u64, i64)>>,
    keys: u64,
    places: u64,
    signed_in: Option<usize>,
    last: Option<usize>,
    known: [bool; USERS],
    now: i64,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    stored: u64,
    updated: u64,
    unchanged: u64,
    rejected: usize,
}

fn delivered_key(identity: &Identity) -> (u8, u8, String) {
    (identity.0, identity.1.number() as u8, identity.2.clone())
}

impl Model {
    fn place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }

    fn find(&self, identity: &Identity) -> Option<usize> {
        self.rows.iter().position(|row| row.identity == *identity)
    }

    fn append(&mut self, source: u8, under: &Under, frames: &[Vec<Version>]) -> Vec<Answer> {
        let owner = match under {
            Under::User(user) if self.known[*user] => Owner::User(*user),
            Under::User(user) => Owner::Only(*user),
            Under::Unknown => Owner::Stranger,
            Under::Nobody => match (self.signed_in, self.last) {
                (Some(user), _) => Owner::User(user),
                (None, Some(last)) => Owner::Only(last),
                (None, None) => Owner::FirstToCome,
            },
        };
        let mut answers = Vec::new();
        for frame in frames {
            let mut answer = Answer::default();
            // Visits stand before aggregates; what is rejected is kept before what is stored.
            let mut frame = frame.clone();
            frame.sort_by_key(|version| version.kind.number());
            let mut fresh: Vec<Row> = Vec::new();
            for version in frame {
                let identity = (source, version.kind, version.id());
                let text = version.text();
                if version.bad {
                    if self.reject(identity, text, owner, &fresh) {
                        answer.rejected += 1;
                    } else {
                        answer.unchanged += 1;
                    }
                    continue;
                }
                let row = |owner, revision| Row {
                    place: 0,
                    identity: identity.clone(),
                    text: text.clone(),
                    end: version.end,
                    revision,
                    state: State::Waiting,
                    owner,
                    accepted: true,
                };
                if let Some(at) = fresh.iter().position(|row| row.identity == identity) {
                    if fresh[at].text == text || fresh[at].end > version.end {
                        answer.unchanged += 1;
                    } else {
                        answer.updated += 1;
                        fresh[at] = row(fresh[at].owner, fresh[at].revision + 1);
                    }
                    continue;
                }
                match self.find(&identity) {
                    Some(at) if self.rows[at].text == text => answer.unchanged += 1,
                    Some(at) if self.rows[at].state == State::Waiting => {
                        let old = &mut self.rows[at];
                        if old.end > version.end {
                            answer.unchanged += 1;
                        } else {
                            answer.updated += 1;
                            *old = Row { place: old.place, ..row(old.owner, old.revision + 1) };
                        }
                    }
                    Some(at) => {
                        answer.updated += 1;
                        let old = self.rows.remove(at);
                        fresh.push(row(old.owner, old.revision + 1));
                    }
                    None => match self.delivered.get(&delivered_key(&identity)) {
                        Some((content, ..)) if *content == text => answer.unchanged += 1,
                        Some((_, revision, _)) => {
                            answer.stored += 1;
                            fresh.push(row(owner, revision + 1));
                        }
                        None => {
                            answer.stored += 1;
                            fresh.push(row(owner, 1));
                        }
                    },
                }
            }
            for mut row in fresh {
                row.place = self.place();
                self.rows.push(row);
            }
            answers.push(answer);
        }
        answers
    }

    /// Kept once, under its own id where no good version has it, else under one of its own. False: it is here
    /// already.
    fn reject(&mut self, mut identity: Identity, text: String, mut owner: Owner, fresh: &[Row]) -> bool {
        let by_content = (identity.0, identity.1, format!("rejected:{text}"));
        for here in [&identity, &by_content] {
            let kept = self.find(here).is_some_and(|at| self.rows[at].text == text);
            let gone = self.find(here).is_none()
                && self.delivered.get(&delivered_key(here)).is_some_and(|(content, ..)| *content == text);
            if kept || gone {
                return false;
            }
        }
        let good = |row: &Row| row.identity == identity && (row.state == State::Waiting || row.accepted);
        let taken = self.rows.iter().chain(fresh).any(good)
            || (self.find(&identity).is_none() && self.delivered.contains_key(&delivered_key(&identity)));
        if taken {
            identity = by_content;
        }
        let mut revision = 1;
        if let Some(at) = self.find(&identity) {
            let old = self.rows.remove(at);
            (revision, owner) = (old.revision + 1, old.owner);
        }
        let place = self.place();
        let state = State::Failed;
        self.rows.push(Row { place, identity, text, end: 0, revision, state, owner, accepted: false });
        true
    }

    fn in_order(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.place);
        rows
    }

    fn oldest(&self, user: usize, visits: usize, aggregates: usize) -> Vec<&Row> {
        let (mut visits, mut aggregates) = (visits, aggregates);
        self.in_order()
            .into_iter()
            .filter(|row| row.state == State::Waiting && row.owner == Owner::User(user))
            .filter(|row| {
                let left = if row.identity.1 == Kind::PageVisit { &mut visits } else { &mut aggregates };
                let taken = *left > 0;
                *left = left.saturating_sub(1);
                taken
            })
            .collect()
    }

    fn sign_in(&mut self, user: usize, claim: bool) {
        let first = self.last.is_none();
        self.known[user] = true;
        for row in &mut self.rows {
            let claims = match row.owner {
                Owner::User(_) => false,
                Owner::FirstToCome => first || claim,
                // Captured after somebody's sign-out: whoever the user says. Under an account that never signed
                // in here: that one's alone.
                Owner::Only(only) => only == user || (claim && self.known[only]),
                Owner::Stranger => false,
            };
            if claims {
                row.owner = Owner::User(user);
            }
        }
        self.signed_in = Some(user);
        self.last = Some(user);
    }

    /// Gone, and with them what is known of them: digests, and every batch, which may hold an older version.
    fn discard(&mut self, places: &[u64]) {
        if places.is_empty() {
            return;
        }
        for row in self.rows.extract_if(.., |row| places.contains(&row.place)) {
            self.delivered.remove(&delivered_key(&row.identity));
        }
        self.batches.clear();
    }

    fn nth_failed(&self, nth: Option<usize>) -> Vec<u64> {
        let failed = self.in_order().into_iter().filter(|row| row.state != State::Waiting);
        let places = failed.map(|row| row.place);
        match nth {
            None => places.collect(),
            Some(nth) => places.skip(nth).take(1).collect(),
        }
    }
}

/// The real thing beside the model.
struct Bench {
    dir: tempfile::TempDir,
    copies: u32,
    path: PathBuf,
    buffer: Buffer,
    accounts: [Option<Account>; USERS],
    model: Model,
}

fn who(user: usize, claim: bool) -> SignedIn {
    SignedIn {
        backend: "http://b".to_owned(),
        user_id: user.to_string(),
        email: format!("{user}@x"),
        claim_others: claim,
    }
}

fn source(number: u8) -> Source {
    let profile = number.to_string();
    Source {
        name: format!("x#{profile}"),
        profile_id: profile,
        browser: String::new(),
        client: String::new(),
    }
}

impl Bench {
    async fn new(template: &Path) -> Bench {
        let dir = scratch();
        let path = dir.path().join("0.db");
        std::fs::copy(template, &path).unwrap();
        let buffer = Buffer::open(&path).await.unwrap();
        let model = Model { now: NOW, ..Model::default() };
        Bench { dir, copies: 0, path, buffer, accounts: [const { None }; USERS], model }
    }

    async fn step(&mut self, step: &Step) {
        let now = self.model.now;
        match step {
            Step::Append { source: number, under, frames } => self.append(*number, under, frames).await,
            Step::Batch { user, visits, aggregates } => self.batch(*user, *visits, *aggregates).await,
            Step::Settle { user, answers, fate } => self.settle(*user, answers, *fate).await,
            Step::Retry(nth) => {
                // What was never accepted is not sent, whoever asks.
                let mut places = self.model.nth_failed(*nth);
                places.retain(|place| self.model.rows.iter().any(|row| row.place == *place && row.accepted));
                let count = self.buffer.retry_failed(&self.failed_query(*nth).await).await.unwrap();
                assert_eq!(count, places.len() as u64);
                for old in places {
                    let place = self.model.place();
                    let row = self.model.rows.iter_mut().find(|row| row.place == old).unwrap();
                    (row.place, row.state) = (place, State::Waiting);
                }
            }
            Step::Discard(nth) => {
                let places = self.model.nth_failed(*nth);
                let count = self.buffer.discard_failed(&self.failed_query(*nth).await).await.unwrap();
                assert_eq!(count, places.len() as u64);
                self.model.discard(&places);
            }
            Step::Keep(nth) => {
                let places = self.model.nth_failed(*nth);
                self.buffer.keep_failed(&self.failed_query(*nth).await).await.unwrap();
                for row in self.model.rows.iter_mut().filter(|row| places.contains(&row.place)) {
                    row.state = State::Kept;
                }
            }
            Step::SignIn { user, claim } => {
                let (account, _) = self.buffer.sign_in(&who(*user, *claim), now).await.unwrap();
                self.accounts[*user] = Some(account);
                self.model.sign_in(*user, *claim);
            }
            Step::SignOut => {
                self.buffer.sign_out().await.unwrap();
                self.model.signed_in = None;
            }
            Step::Days(days) => self.model.now += days * DAY,
            Step::Crash => self.crash().await,
        }
    }

    async fn append(&mut self, number: u8, under: &Under, frames: &[Vec<Version>]) {
        let account_ref = match under {
            Under::Nobody => None,
            Under::User(user) => Some(who(*user, false).account_ref()),
            Under::Unknown => Some(UNKNOWN_REF.to_owned()),
        };
        let arrivals: Vec<Arrival> = frames
            .iter()
            .map(|frame| {
                let of = |kind| -> Vec<String> {
                    frame.iter().filter(|v| v.kind == kind).map(|v| v.text()).collect()
                };
                let (visits, aggregates) = (of(Kind::PageVisit), of(Kind::TabAggregate));
                Arrival::read(
                    account_ref.clone(),
                    &visits.iter().map(String::as_str).collect::<Vec<_>>(),
                    &aggregates.iter().map(String::as_str).collect::<Vec<_>>(),
                )
            })
            .collect();
        let got = self.buffer.append(&source(number), &arrivals, 0, self.model.now).await.unwrap();
        let got: Vec<Answer> = got
            .iter()
            .map(|one| Answer {
                stored: one.counts.stored,
                updated: one.counts.updated,
                unchanged: one.counts.unchanged,
                rejected: one.rejected.len(),
            })
            .collect();
        assert_eq!(got, self.model.append(number, under, frames));
    }

    async fn batch(&mut self, user: usize, visits: usize, aggregates: usize) {
        let Some(account) = self.accounts[user].clone() else { return };
        if self.model.batches.contains_key(&user) {
            return;
        }
        let limits = Limits { page_visits: visits, tab_aggregates: aggregates, bytes: 1 << 20 };
        let rows = self.buffer.oldest(account.id, limits, &[], self.model.now).await.unwrap();
        let expected = self.model.oldest(user, visits, aggregates);
        let facts = |id: &str, text: &str, revision: i64| (shown(id), text.to_owned(), revision);
        assert_eq!(
            rows.iter().map(|row| facts(&row.id, &row.text, row.revision)).collect::<Vec<_>>(),
            expected.iter().map(|row| facts(&row.identity.2, &row.text, row.revision)).collect::<Vec<_>>()
        );
        assert!(rows.iter().all(|row| row.intact));
        if rows.is_empty() {
            return;
        }
        let items = rows.iter().map(|r| BatchItem { seq: r.seq, revision: r.revision, kind: r.kind });
        let items: Vec<BatchItem> = items.collect();
        let in_model = expected.iter().map(|row| (row.place, row.revision)).collect();
        self.model.keys += 1;
        let new = NewBatch { key: format!("k{}", self.model.keys), body: b"b".to_vec(), items };
        self.buffer.begin_batch(account.id, &new, self.model.now).await.unwrap();
        self.model.batches.insert(user, in_model);
    }

    async fn settle(&mut self, user: usize, answers: &[u8], fate: u8) {
        let Some(account) = self.accounts[user].clone() else { return };
        let Some(batch) = self.buffer.in_flight(account.id).await.unwrap() else { return };
        let in_model = self.model.batches[&user].clone();
        assert_eq!(batch.items.len(), in_model.len());
        let mut settlement = Settlement::default();
        let reason = Reason::NotConfirmed { attempts: 3 };
        for (at, item) in batch.items.iter().enumerate() {
            let (place, revision) = in_model[at];
            let row = self.model.rows.iter().position(|r| r.place == place && r.revision == revision);
            match answers[at % answers.len()] {
                0..=2 => {
                    settlement.confirm.push(*item);
                    if let Some(row) = row {
                        let row = self.model.rows.remove(row);
                        let remembered = (row.text, row.revision, self.model.now);
                        self.model.delivered.insert(delivered_key(&row.identity), remembered);
                    }
                }
                3 => {
                    settlement.set_aside.push((*item, reason.clone()));
                    if let Some(row) = row
                        && self.model.rows[row].state == State::Waiting
                    {
                        self.model.rows[row].state = State::Failed;
                    }
                }
                4 => settlement.count.push(*item),
                _ => {}
            }
        }
        settlement.fate = match fate {
            0 => Fate::Keep,
            1 => {
                self.model.keys += 1;
                Fate::Rekey(format!("k{}", self.model.keys))
            }
            _ => {
                self.model.batches.remove(&user);
                Fate::End
            }
        };
        let now = self.model.now;
        self.buffer.settle(Some(batch.batch), &settlement, now).await.unwrap();
        self.model.delivered.retain(|_, (_, _, at)| *at >= now - DELIVERED_FOR_MS);
    }

    async fn failed_query(&self, nth: Option<usize>) -> FailedQuery {
        let Some(nth) = nth else { return FailedQuery::All };
        let failed = self.buffer.failed(0, 1_000, None).await.unwrap();
        FailedQuery::Numbers(failed.iter().skip(nth).take(1).map(|f| f.seq).collect())
    }

    /// What a kill leaves: the file and its log as they are at this moment.
    async fn crash(&mut self) {
        self.copies += 1;
        let copy = self.dir.path().join(format!("{}.db", self.copies));
        let log = |path: &Path| path.with_extension("db-wal");
        std::fs::copy(&self.path, &copy).unwrap();
        if log(&self.path).exists() {
            std::fs::copy(log(&self.path), log(&copy)).unwrap();
        }
        self.buffer = Buffer::open(&copy).await.unwrap();
        self.path = copy;
    }

    /// Everything that can be seen of the buffer is what the model says.
    async fn compare(&self) {
        let mut reader = self.buffer.export(None, false);
        let mut real = Vec::new();
        loop {
            let lines = reader.next().await.unwrap();
            if lines.is_empty() {
                break;
            }
            real.extend(lines);
        }
        let real: Vec<_> = real
            .iter()
            .map(|line| {
                let user = line.account.as_ref().map(|account| account.user.clone());
                let identity = (line.source.clone(), line.kind, shown(&line.id));
                (identity, line.record.get().to_owned(), line.revision, line.state, user)
            })
            .collect();
        let expected: Vec<_> = self
            .model
            .in_order()
            .iter()
            .map(|row| {
                let user = match row.owner {
                    Owner::User(user) => Some(user.to_string()),
                    _ => None,
                };
                let state = if row.state == State::Waiting { "waiting" } else { "failed" };
                let identity = (format!("x#{}", row.identity.0), row.identity.1, shown(&row.identity.2));
                (identity, row.text.clone(), row.revision, state, user)
            })
            .collect();
        assert_eq!(real, expected);

        let count = |of: &dyn Fn(&&Row) -> bool| self.model.rows.iter().filter(of).count() as u64;
        let own = self.model.signed_in.and_then(|user| self.accounts[user].as_ref());
        let totals = self.buffer.totals(own.map(|a| a.id), self.model.now).await.unwrap();
        let waits = |row: &&Row| row.state == State::Waiting;
        let own = self.model.signed_in.map(Owner::User);
        assert_eq!(totals.waiting(), count(&|row| waits(row) && Some(row.owner) == own));
        assert_eq!(totals.unclaimed, count(&|row| waits(row) && !matches!(row.owner, Owner::User(_))));
        assert_eq!(totals.failed, count(&|row| row.state != State::Waiting));
        assert_eq!(totals.failed_kept, count(&|row| row.state == State::Kept));
        for user in 0..USERS {
            let Some(account) = &self.accounts[user] else { continue };
            let batch = self.buffer.in_flight(account.id).await.unwrap();
            assert_eq!(
                batch.map(|b| b.items.iter().map(|i| i.revision).collect::<Vec<_>>()),
                self.model.batches.get(&user).map(|items| items.iter().map(|(_, r)| *r).collect())
            );
        }
    }
}

/// The model does not know how the program names what has no usable id.
fn shown(id: &str) -> String {
    if id.starts_with("rejected:") { "rejected".to_owned() } else { id.to_owned() }
}

/// In memory where the system has such a place: a process that dies loses nothing there that it would not
/// lose on a disk.
fn scratch() -> tempfile::TempDir {
    match tempfile::tempdir_in("/dev/shm") {
        Ok(dir) => dir,
        Err(_) => tempfile::tempdir().unwrap(),
    }
}

#[test]
fn the_buffer_does_what_the_model_says() {
    let cases = std::env::var("HEYHO_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(250);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let home = scratch();
    let template = home.path().join("template.db");
    runtime.block_on(async {
        let buffer = Buffer::open(&template).await.unwrap();
        assert!(buffer.checkpoint().await.unwrap());
        buffer.close().await;
    });
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let histories = prop::collection::vec(step(), 1..40);
    let result = runner.run(&histories, |steps| {
        runtime.block_on(async {
            let mut bench = Bench::new(&template).await;
            for step in &steps {
                bench.step(step).await;
                bench.compare().await;
            }
        });
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
