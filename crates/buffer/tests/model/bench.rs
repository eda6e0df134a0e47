//! The real thing beside the model.

use crate::model::{Answer, Model, Owner, Row, State, delivered_key};
use crate::steps::{DAY, NOW, Step, UNKNOWN_REF, USERS, Under, Version, site};
use heyho_buffer::*;
use heyho_records::Kind;
use heyho_records::reason::Reason;
use std::path::{Path, PathBuf};

/// The real thing beside the model.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub copies: u32,
    pub path: PathBuf,
    pub buffer: Buffer,
    pub accounts: [Option<Account>; USERS],
    pub exported: Vec<String>,
    pub capped: bool,
    pub model: Model,
}

pub fn who(user: usize, claim: bool) -> SignedIn {
    SignedIn {
        backend: "http://b".to_owned(),
        user_id: user.to_string(),
        email: format!("{user}@x"),
        claim_others: claim,
    }
}

pub fn source(number: u8) -> Source {
    let profile = number.to_string();
    Source {
        name: format!("x#{profile}"),
        profile_id: profile,
        browser: String::new(),
        client: String::new(),
    }
}

impl Bench {
    pub async fn new(template: &Path) -> Bench {
        let dir = scratch();
        let path = dir.path().join("0.db");
        std::fs::copy(template, &path).unwrap();
        let buffer = Buffer::open(&path).await.unwrap();
        let model = Model { now: NOW, ..Model::default() };
        let accounts = [const { None }; USERS];
        Bench { dir, copies: 0, path, buffer, accounts, exported: Vec::new(), capped: false, model }
    }

    pub async fn step(&mut self, step: &Step) {
        let now = self.model.now;
        match step {
            Step::Append { source: number, under, hold, frames } => {
                self.append(*number, under, *hold, frames).await;
            }
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
                    (row.place, row.state, row.held_until) = (place, State::Waiting, 0);
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
            Step::Claim => {
                let Some(user) = self.model.signed_in else { return };
                self.buffer.claim(self.accounts[user].as_ref().unwrap().id).await.unwrap();
                self.model.claim(user);
            }
            Step::DiscardWaiting(nth) => {
                let waiting = self.buffer.waiting_page(0, 100, None, now).await.unwrap().rows;
                let Some(row) = waiting.get(*nth) else { return };
                let waits = |row: &&Row| row.state == State::Waiting;
                let place = self.model.in_order().into_iter().filter(waits).nth(*nth).unwrap().place;
                assert_eq!(self.buffer.discard_waiting(&[row.number]).await.unwrap(), 1);
                self.model.discard(&[place]);
            }
            Step::Forget(number) => {
                assert!(self.buffer.forget(site(*number)).await.unwrap().log_emptied);
                self.model.forget(site(*number));
            }
            Step::DiscardAccount(user) => {
                let erased = self.buffer.discard_account(&who(*user, false).email).await.unwrap();
                assert!(self.model.discard_account(*user) || erased.records() == 0);
                assert!(erased.log_emptied);
                self.look_for_accounts().await;
            }
            Step::EraseEverything => {
                let erased = self.buffer.erase_everything().await.unwrap();
                assert_eq!(erased.records(), self.model.rows.len() as u64);
                self.model.erase_everything();
                self.look_for_accounts().await;
            }
            Step::Export => {
                self.exported =
                    self.export().await.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
                self.model.exported = self.model.in_order().into_iter().cloned().collect();
            }
            Step::Import => {
                let lines: Vec<ImportLine> =
                    self.exported.iter().map(|line| ImportLine::read(line).unwrap()).collect();
                let imported = self.buffer.import(&lines, now).await;
                if self.capped {
                    assert!(matches!(imported, Err(BufferError::Full { .. })), "{imported:?}");
                    return;
                }
                let (stored, updated, unchanged) = self.model.import();
                assert_eq!(imported.unwrap(), Imported { stored, updated, unchanged });
                self.look_for_accounts().await;
            }
            Step::Cap(reached) => {
                self.capped = *reached;
                self.set_cap();
            }
            Step::Days(days) => self.model.now += days * DAY,
            Step::Crash => self.crash().await,
            Step::Reopen => {
                self.buffer.close().await;
                self.buffer = Buffer::open(&self.path).await.unwrap();
                self.set_cap();
            }
        }
    }

    pub fn set_cap(&self) {
        self.buffer.set_cap(Some(if self.capped { 1 } else { u64::MAX / 2 }));
    }

    pub async fn look_for_accounts(&mut self) {
        let accounts = self.buffer.accounts().await.unwrap();
        for user in 0..USERS {
            let found = accounts.iter().find(|account| account.user_id == user.to_string());
            assert_eq!(found.is_some(), self.model.known[user]);
            self.accounts[user] = found.cloned();
        }
    }

    pub async fn export(&self) -> Vec<ExportLine> {
        let mut reader = self.buffer.export(None, false);
        let lines = reader.next().await.unwrap();
        assert!(lines.len() < 500, "that was all");
        lines
    }

    pub async fn append(&mut self, number: u8, under: &Under, hold: i64, frames: &[Vec<Version>]) {
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
        let got = self.buffer.append(&source(number), &arrivals, hold, self.model.now).await;
        if self.capped {
            assert!(matches!(got, Err(BufferError::Full { .. })), "{got:?}");
            return;
        }
        let got: Vec<Answer> = got
            .unwrap()
            .iter()
            .map(|one| Answer {
                stored: one.counts.stored,
                updated: one.counts.updated,
                unchanged: one.counts.unchanged,
                rejected: one.rejected.len(),
            })
            .collect();
        assert_eq!(got, self.model.append(number, under, hold, frames));
    }

    pub async fn batch(&mut self, user: usize, visits: usize, aggregates: usize) {
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

    pub async fn settle(&mut self, user: usize, answers: &[u8], fate: u8) {
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
                        let remembered = (row.text, row.revision, self.model.now, row.owner);
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
        self.model.delivered.retain(|_, (_, _, at, _)| *at >= now - DELIVERED_FOR_MS);
    }

    pub async fn failed_query(&self, nth: Option<usize>) -> FailedQuery {
        let Some(nth) = nth else { return FailedQuery::All };
        let failed = self.buffer.failed(0, 1_000, None).await.unwrap();
        FailedQuery::Numbers(failed.iter().skip(nth).take(1).map(|f| f.seq).collect())
    }

    /// What a kill leaves: the file and its log as they are at this moment.
    pub async fn crash(&mut self) {
        self.copies += 1;
        let copy = self.dir.path().join(format!("{}.db", self.copies));
        let log = |path: &Path| path.with_extension("db-wal");
        std::fs::copy(&self.path, &copy).unwrap();
        if log(&self.path).exists() {
            std::fs::copy(log(&self.path), log(&copy)).unwrap();
        }
        self.buffer = Buffer::open(&copy).await.unwrap();
        self.path = copy;
        self.set_cap();
    }

    /// Everything that can be seen of the buffer is what the model says.
    pub async fn compare(&self) {
        let real = self.export().await;
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
        let held = |row: &&Row| waits(row) && Some(row.owner) == own && row.held_until > self.model.now;
        assert_eq!(totals.held, count(&held));
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
pub fn shown(id: &str) -> String {
    if id.starts_with("rejected:") { "rejected".to_owned() } else { id.to_owned() }
}

/// In memory where the system has such a place: a process that dies loses nothing there that it would not
/// lose on a disk.
pub fn scratch() -> tempfile::TempDir {
    match tempfile::tempdir_in("/dev/shm") {
        Ok(dir) => dir,
        Err(_) => tempfile::tempdir().unwrap(),
    }
}
