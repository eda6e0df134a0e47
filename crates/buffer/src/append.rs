//! Taking records in: several frames, one transaction, an answer for each.
//!
//! Everything that can be done without the write lock is done before it is taken (reading and checking the
//! records); inside, identities are looked up and rows written many at a time. A record that is not accepted
//! is kept too, among the failed.

use crate::decide::{Decision, Known, decide};
use crate::error::{BufferError, Result};
use crate::open::Buffer;
use crate::series::{self, Flow};
use crate::state;
use futures_util::future::BoxFuture;
use heyho_records::complete::Completeness;
use heyho_records::native;
use heyho_records::reason::Reason;
use heyho_records::rules::{self, Dropped, Rule};
use heyho_records::{Code, Kind, Record, Rejection};
use sha2::{Digest, Sha256};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use std::collections::HashMap;

/// Rows in one statement: few enough for every limit of SQLite, enough to pay for the trip.
const CHUNK: usize = 200;
/// As [`Reason::code`] has it.
pub(crate) const REJECTED_AT_CAPTURE: &str = "rejected_at_capture";
/// What is kept of a record that is too large to keep.
const KEPT_OF_TOO_LARGE: usize = 4096;

/// The browser profile records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The caller's origin or extension id, `#`, and the profile id.
    pub name: String,
    pub profile_id: String,
    pub browser: String,
    pub client: String,
}

/// The records of one frame, read and checked.
#[derive(Debug)]
pub struct Arrival {
    pub account_ref: Option<String>,
    /// Records of the frame that the privacy rules dropped.
    pub filtered: u64,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    kind: Kind,
    index: usize,
    read: std::result::Result<Record, (Rejection, String)>,
}

/// What became of one frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    pub counts: native::Counts,
    pub rejected: Vec<native::Rejected>,
}

impl Arrival {
    pub fn read(account_ref: Option<String>, page_visits: &[&str], tab_aggregates: &[&str]) -> Arrival {
        Arrival::read_by_rules(account_ref, page_visits, tab_aggregates, &[], &mut Dropped::default())
    }

    /// With the privacy rules applied before anything else.
    pub fn read_by_rules(
        account_ref: Option<String>,
        page_visits: &[&str],
        tab_aggregates: &[&str],
        rules: &[Rule],
        dropped: &mut Dropped,
    ) -> Arrival {
        let (mut items, mut filtered) = (Vec::new(), 0);
        for (kind, raws) in [(Kind::PageVisit, page_visits), (Kind::TabAggregate, tab_aggregates)] {
            for (index, raw) in raws.iter().enumerate() {
                let Some(raw) = rules::apply(rules, kind, raw, dropped) else {
                    filtered += 1;
                    continue;
                };
                let read = Record::read(kind, &raw).map_err(|rejection| (rejection, raw.into_owned()));
                items.push(Item { kind, index, read });
            }
        }
        Arrival { account_ref, filtered, items }
    }

    /// How many records there are, but for those that were filtered.
    pub fn records(&self) -> usize {
        self.items.len()
    }
}

type Identity = (Kind, String);

/// What is written for one record.
struct NewRow<'a> {
    kind: Kind,
    id: String,
    id_derived: bool,
    owner: Owner,
    revision: i64,
    text: &'a str,
    digest: &'a [u8],
    record: Option<&'a Record>,
    state: i64,
}

#[derive(Debug, Clone)]
struct Owner {
    account: Option<i64>,
    claim_ref: Option<String>,
}

impl Buffer {
    /// Commits the frames and says what became of each. On an error nothing of any of them is stored.
    pub fn append<'a>(
        &'a self,
        source: &'a Source,
        arrivals: &'a [Arrival],
        hold_ms: i64,
        now: i64,
    ) -> BoxFuture<'a, Result<Vec<Appended>>> {
        // Boxed: rustc cannot see that the plain future is Send, for the borrowed records in it.
        Box::pin(self.append_all(source, arrivals, hold_ms, now))
    }

    async fn append_all(
        &self,
        source: &Source,
        arrivals: &[Arrival],
        hold_ms: i64,
        now: i64,
    ) -> Result<Vec<Appended>> {
        let mut tx = self.write().await?;
        self.room(&mut tx).await?;
        let source_id = see(&mut tx, source, now).await?;
        let mut known = look_up(&mut tx, source_id, arrivals).await?;
        let mut answers = Vec::with_capacity(arrivals.len());
        let mut flow = Flow::default();
        for arrival in arrivals {
            let owner = owner(&mut tx, arrival.account_ref.as_deref()).await?;
            let mut writer = Writer {
                tx: &mut tx,
                source: source_id,
                held_until: if hold_ms > 0 { now + hold_ms } else { 0 },
                now,
            };
            let mut answer = Appended::default();
            answer.counts.filtered = arrival.filtered;
            let mut fresh: Vec<(usize, NewRow<'_>)> = Vec::new();
            for (place, item) in arrival.items.iter().enumerate() {
                match &item.read {
                    Ok(record) => {
                        let identity = (item.kind, record.id.clone());
                        let before = known.get(&identity).unwrap_or(&Known::Nothing);
                        let decision = decide(before, record);
                        match decision {
                            Decision::Unchanged => {
                                answer.counts.unchanged += 1;
                                continue;
                            }
                            Decision::Insert { revision } => {
                                answer.counts.stored += 1;
                                fresh.push((place, new_row(record, &owner, revision)));
                            }
                            Decision::Replace { seq, revision } => {
                                answer.counts.updated += 1;
                                // A row of this very frame is not written yet: change what will be.
                                let here = fresh.iter_mut().find(|(p, _)| seq < 0 && seq == pending(*p));
                                match here {
                                    Some((_, row)) => *row = new_row(record, &row.owner.clone(), revision),
                                    None => writer.replace(seq, revision, record).await?,
                                }
                            }
                            Decision::Revive { seq, revision } => {
                                answer.counts.updated += 1;
                                let kept = writer.leave(seq).await?;
                                fresh.push((place, new_row(record, &kept, revision)));
                            }
                        }
                        let (seq, revision) = match decision {
                            Decision::Replace { seq, revision } => (seq, revision),
                            Decision::Insert { revision } | Decision::Revive { revision, .. } => {
                                (pending(place), revision)
                            }
                            Decision::Unchanged => continue,
                        };
                        let waiting = Known::Waiting {
                            seq,
                            digest: record.digest.to_vec(),
                            revision,
                            completeness: record.completeness,
                        };
                        known.insert(identity, waiting);
                    }
                    Err((rejection, raw)) => {
                        if !writer.keep_rejected(item.kind, rejection, raw, &owner, &mut known).await? {
                            answer.counts.unchanged += 1;
                            continue;
                        }
                        flow.failed += 1;
                        answer.rejected.push(native::Rejected {
                            kind: item.kind,
                            index: item.index,
                            record_id: rejection.record_id.clone(),
                            code: rejection.code,
                            error: rejection.message.clone(),
                        });
                    }
                }
            }
            flow.stored += fresh.len() as i64;
            let rows: Vec<NewRow<'_>> = fresh.into_iter().map(|(_, row)| row).collect();
            let numbers = writer.insert(&rows).await?;
            // Later frames of this transaction may replace what this one stored.
            for (row, seq) in rows.iter().zip(numbers) {
                if let Some(Known::Waiting { seq: place, .. }) = known.get_mut(&(row.kind, row.id.clone())) {
                    *place = seq;
                }
            }
            answers.push(answer);
        }
        note_tabs(&mut tx, source_id, arrivals, now).await?;
        series::add(&mut tx, now, flow).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

/// Stands for the number of a row that is not written yet: no row has a negative one.
fn pending(place: usize) -> i64 {
    -1 - place as i64
}

fn new_row<'a>(record: &'a Record, owner: &Owner, revision: i64) -> NewRow<'a> {
    NewRow {
        kind: record.kind,
        id: record.id.clone(),
        id_derived: record.id_derived,
        owner: owner.clone(),
        revision,
        text: &record.text,
        digest: &record.digest,
        record: Some(record),
        state: state::WAITING,
    }
}

struct Writer<'t> {
    tx: &'t mut SqliteConnection,
    source: i64,
    held_until: i64,
    now: i64,
}

impl Writer<'_> {
    /// Writes the rows in their order, and says which numbers they got.
    async fn insert(&mut self, rows: &[NewRow<'_>]) -> Result<Vec<i64>> {
        let mut numbers = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO record (kind, source, id, id_derived, account, claim_ref, revision, text, bytes, \
                 checksum, digest, complete_1, complete_2, complete_3, tab, start_time, last_time, state, \
                 held_until, captured_at) ",
            );
            query.push_values(chunk, |mut values, row| {
                let complete = row.record.map_or([None; 3], |r| r.completeness.to_columns());
                let facts = row.record.map(|r| &r.facts);
                values
                    .push_bind(row.kind.number())
                    .push_bind(self.source)
                    .push_bind(&row.id)
                    .push_bind(row.id_derived)
                    .push_bind(row.owner.account)
                    .push_bind(&row.owner.claim_ref)
                    .push_bind(row.revision)
                    .push_bind(row.text)
                    .push_bind(row.text.len() as i64)
                    .push_bind(checksum(row.text))
                    .push_bind(row.digest)
                    .push_bind(complete[0])
                    .push_bind(complete[1])
                    .push_bind(complete[2])
                    .push_bind(facts.and_then(|f| f.tab.as_deref()))
                    .push_bind(facts.and_then(|f| f.start_time))
                    .push_bind(facts.and_then(|f| f.last_active))
                    .push_bind(row.state)
                    .push_bind(self.held_until)
                    .push_bind(self.now);
            });
            query.push(" RETURNING seq");
            let mut given: Vec<i64> = query
                .build()
                .fetch_all(&mut *self.tx)
                .await?
                .iter()
                .map(|row| row.try_get(0))
                .collect::<Result<_, _>>()?;
            // AUTOINCREMENT numbers rise with the order of the rows; RETURNING promises no order.
            given.sort_unstable();
            numbers.append(&mut given);
        }
        Ok(numbers)
    }

    /// A newer version in the old one's place. Its attempts are forgotten: it is another record now.
    async fn replace(&mut self, seq: i64, revision: i64, record: &Record) -> Result<()> {
        let complete = record.completeness.to_columns();
        sqlx::query(
            "UPDATE record SET revision = ?, text = ?, bytes = ?, checksum = ?, digest = ?, complete_1 = ?, \
             complete_2 = ?, complete_3 = ?, tab = ?, start_time = ?, last_time = ?, attempts = 0 \
             WHERE seq = ?",
        )
        .bind(revision)
        .bind(&record.text)
        .bind(record.text.len() as i64)
        .bind(checksum(&record.text))
        .bind(&record.digest[..])
        .bind(complete[0])
        .bind(complete[1])
        .bind(complete[2])
        .bind(record.facts.tab.as_deref())
        .bind(record.facts.start_time)
        .bind(record.facts.last_active)
        .bind(seq)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Takes a failed row away, for a new one; says whose it was.
    async fn leave(&mut self, seq: i64) -> Result<Owner> {
        let row = sqlx::query("DELETE FROM record WHERE seq = ? RETURNING account, claim_ref")
            .bind(seq)
            .fetch_one(&mut *self.tx)
            .await?;
        Ok(Owner { account: row.try_get(0)?, claim_ref: row.try_get(1)? })
    }

    /// Keeps a record that was not accepted, among the failed. False: it is there already.
    async fn keep_rejected(
        &mut self,
        kind: Kind,
        rejection: &Rejection,
        raw: &str,
        owner: &Owner,
        known: &mut HashMap<Identity, Known>,
    ) -> Result<bool> {
        let hash = Sha256::digest(raw.as_bytes());
        let by_content = || id_by_content(&hash);
        let is_here = |id: &str| match known.get(&(kind, id.to_owned())) {
            // By its text: a rejected record that the user had retried may wait, or be delivered, by now.
            Some(
                Known::SetAside { digest, .. }
                | Known::Waiting { digest, .. }
                | Known::Delivered { digest, .. },
            ) => digest[..] == hash[..],
            Some(Known::Nothing) | None => false,
        };
        // Under its own id it is found again when it comes corrected; but never in place of a good version.
        // An id that is none (too long, not a string) is shown, and identifies nothing.
        let own =
            rejection.record_id.clone().filter(|id| !id.is_empty() && rejection.code != Code::MissingId);
        let mut id = own.unwrap_or_else(by_content);
        if is_here(&id) || is_here(&by_content()) {
            return Ok(false);
        }
        let taken = matches!(
            known.get(&(kind, id.clone())),
            Some(Known::Waiting { .. } | Known::Delivered { .. } | Known::SetAside { accepted: true, .. })
        );
        if taken {
            id = by_content();
        }
        let identity = (kind, id.clone());
        let (owner, revision) = match known.get(&identity) {
            Some(Known::SetAside { seq, revision, .. }) => {
                let (seq, revision) = (*seq, *revision);
                (self.leave(seq).await?, revision + 1)
            }
            _ => (owner.clone(), 1),
        };
        let cut = (rejection.code == Code::RecordTooLarge).then(|| shortened(raw, &hash));
        let row = NewRow {
            kind,
            id,
            id_derived: false,
            owner,
            revision,
            text: cut.as_deref().unwrap_or(raw),
            digest: &hash,
            record: None,
            state: state::FAILED,
        };
        let seq = self
            .insert(&[row])
            .await?
            .first()
            .copied()
            .ok_or_else(|| BufferError::Unavailable("a row was not numbered".to_owned()))?;
        known.insert(identity, Known::SetAside { seq, digest: hash.to_vec(), revision, accepted: false });
        let reason = Reason::RejectedAtCapture { rule: rejection.code, message: rejection.message.clone() };
        crate::failed::note(self.tx, seq, &reason, 1, self.now).await?;
        Ok(true)
    }
}

/// The beginning of a record that is too large to keep whole, with its size and hash.
fn shortened(raw: &str, hash: &[u8]) -> String {
    let mut end = KEPT_OF_TOO_LARGE.min(raw.len());
    while !raw.is_char_boundary(end) {
        end -= 1;
    }
    serde_json::json!({ "begins": &raw[..end], "bytes": raw.len(), "sha256": hex(hash) }).to_string()
}

pub(crate) fn checksum(text: &str) -> i64 {
    checksum_of(text.as_bytes())
}

pub(crate) fn checksum_of(bytes: &[u8]) -> i64 {
    i64::from(crc32fast::hash(bytes))
}

/// The id of a record that was not accepted and has none of its own.
fn id_by_content(hash: &[u8]) -> String {
    format!("rejected:{}", hex(&hash[..16]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Notes that a browser profile was heard of, and gives its number.
async fn see(tx: &mut SqliteConnection, source: &Source, now: i64) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "INSERT INTO source (name, profile_id, browser, client, seen_at) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, browser = excluded.browser, \
         client = excluded.client RETURNING source",
    )
    .bind(&source.name)
    .bind(&source.profile_id)
    .bind(&source.browser)
    .bind(&source.client)
    .bind(now)
    .fetch_one(tx)
    .await?)
}

/// Whose the records of a frame are: of the ref they were captured under, else of who is signed in.
async fn owner(tx: &mut SqliteConnection, account_ref: Option<&str>) -> Result<Owner> {
    let Some(account_ref) = account_ref else {
        let session = crate::accounts::session(&mut *tx).await?;
        return Ok(Owner {
            claim_ref: if session.account.is_some() { None } else { session.last_ref },
            account: session.account,
        });
    };
    let account: Option<i64> = sqlx::query_scalar("SELECT account FROM account WHERE ref = ?")
        .bind(account_ref)
        .fetch_optional(tx)
        .await?;
    let claim_ref = account.is_none().then(|| account_ref.to_owned());
    Ok(Owner { account, claim_ref })
}

/// What is known of every identity in these frames.
async fn look_up(
    tx: &mut SqliteConnection,
    source: i64,
    arrivals: &[Arrival],
) -> Result<HashMap<Identity, Known>> {
    let identities: Vec<(i64, String)> = arrivals
        .iter()
        .flat_map(|arrival| &arrival.items)
        .flat_map(|item| {
            let ids = match &item.read {
                Ok(record) => [Some(record.id.clone()), None],
                // Where its id is taken by a good version it is kept under the other.
                Err((rejection, raw)) => {
                    [rejection.record_id.clone(), Some(id_by_content(&Sha256::digest(raw.as_bytes())))]
                }
            };
            ids.into_iter().flatten().map(|id| (item.kind.number(), id))
        })
        .collect();
    let mut known = HashMap::new();
    for chunk in identities.chunks(CHUNK) {
        let mut query =
            QueryBuilder::<Sqlite>::new("SELECT kind, id, digest, revision FROM delivered WHERE source = ");
        query.push_bind(source).push(" AND (kind, id) IN ");
        query.push_tuples(chunk, |mut tuple, (kind, id)| {
            tuple.push_bind(*kind).push_bind(id);
        });
        for row in query.build().fetch_all(&mut *tx).await? {
            let delivered = Known::Delivered { digest: row.try_get(2)?, revision: row.try_get(3)? };
            known.insert((kind(row.try_get(0)?)?, row.try_get(1)?), delivered);
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT kind, id, seq, digest, revision, state, complete_1, complete_2, complete_3, \
             (SELECT f.code FROM failure f WHERE f.queue = 1 AND f.seq = record.seq) FROM record \
             WHERE source = ",
        );
        query.push_bind(source).push(" AND (kind, id) IN ");
        query.push_tuples(chunk, |mut tuple, (kind, id)| {
            tuple.push_bind(*kind).push_bind(id);
        });
        for row in query.build().fetch_all(&mut *tx).await? {
            let (seq, digest, revision) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            let what = match row.try_get::<i64, _>(5)? {
                state::WAITING => Known::Waiting {
                    seq,
                    digest,
                    revision,
                    completeness: Completeness::from_columns([
                        row.try_get(6)?,
                        row.try_get(7)?,
                        row.try_get(8)?,
                    ]),
                },
                _ => {
                    let why: Option<String> = row.try_get(9)?;
                    let accepted = why.as_deref() != Some(REJECTED_AT_CAPTURE);
                    Known::SetAside { seq, digest, revision, accepted }
                }
            };
            known.insert((kind(row.try_get(0)?)?, row.try_get(1)?), what);
        }
    }
    Ok(known)
}

pub(crate) fn kind(number: i64) -> Result<Kind> {
    Kind::from_number(number).ok_or_else(|| BufferError::Damaged(format!("{number} is no kind of record")))
}

/// Remembers which visit each tab was on, for aggregates that come later, and when tabs began.
async fn note_tabs(tx: &mut SqliteConnection, source: i64, arrivals: &[Arrival], now: i64) -> Result<()> {
    let visits: Vec<(&str, i64, &str)> = arrivals
        .iter()
        .flat_map(|arrival| &arrival.items)
        .filter(|item| item.kind == Kind::PageVisit)
        .filter_map(|item| item.read.as_ref().ok())
        .filter_map(|r| Some((r.facts.tab.as_deref()?, r.facts.visited_at?, r.id.as_str())))
        .collect();
    for chunk in visits.chunks(CHUNK) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT OR IGNORE INTO tab_visit (source, tab, visited_at, id, noted_at) ",
        );
        query.push_values(chunk, |mut values, (tab, visited_at, id)| {
            values.push_bind(source).push_bind(*tab).push_bind(*visited_at).push_bind(*id).push_bind(now);
        });
        query.build().execute(&mut *tx).await?;
    }
    let lives: Vec<(&str, i64)> = arrivals
        .iter()
        .flat_map(|arrival| &arrival.items)
        .filter(|item| item.kind == Kind::TabAggregate)
        .filter_map(|item| item.read.as_ref().ok())
        .filter_map(|r| Some((r.facts.tab.as_deref()?, r.facts.start_time?)))
        .collect();
    for chunk in lives.chunks(CHUNK) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT OR IGNORE INTO tab_life (source, tab, start_time, noted_at) ",
        );
        query.push_values(chunk, |mut values, (tab, start_time)| {
            values.push_bind(source).push_bind(*tab).push_bind(*start_time).push_bind(now);
        });
        query.build().execute(&mut *tx).await?;
    }
    Ok(())
}
