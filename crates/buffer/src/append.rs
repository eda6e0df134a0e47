//! Taking records in: several frames, one transaction, an answer for each.
//!
//! Everything that can be done without the write lock is done before it is taken (reading and checking the
//! records); inside, identities are looked up and rows written many at a time. A record that is not accepted
//! is kept too, among the failed.

use crate::decide::{Decision, Known, decide};
use crate::error::Result;
use crate::known::{Identity, look_up};
use crate::late::Read;
use crate::open::Buffer;
use crate::rows::{self, NewRow, Origin, Owner};
use crate::series::{self, Flow};
use crate::{rejected, tabs};
use futures_util::future::BoxFuture;
use heyho_records::native;
use heyho_records::rules::{self, Dropped, Rule};
use heyho_records::{Kind, Record};
use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;

/// The browser profile records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The caller's origin or extension id, `#`, and the profile id.
    pub name: String,
    pub profile_id: String,
    pub browser: String,
    pub client: String,
}

/// Characters of a profile's number, which is whatever a client makes of it.
const LONGEST_PROFILE_ID: usize = 256;

/// A profile's number as it stands in [`Source`]: of a very long one a digest.
pub fn profile_id(given: String) -> String {
    if given.chars().count() <= LONGEST_PROFILE_ID {
        return given;
    }
    let digest = Sha256::digest(given.as_bytes());
    digest.iter().fold("sha256-".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
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
    read: Read,
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

    fn accepted(&self) -> impl Iterator<Item = &Record> + Clone {
        self.items.iter().filter_map(|item| item.read.as_ref().ok())
    }

    /// Every identity these records may have.
    fn identities(&self) -> impl Iterator<Item = Identity> {
        self.items.iter().flat_map(|item| {
            let ids = match &item.read {
                Ok(record) => [Some(record.id.clone()), None],
                Err((rejection, raw)) => rejected::ids(rejection, raw),
            };
            ids.into_iter().flatten().map(|id| (item.kind, id))
        })
    }

    /// Of each record what `keep` answers; one of which it answers nothing counts as filtered.
    pub(crate) fn keep(&mut self, mut keep: impl FnMut(Kind, Read) -> Option<Read>) {
        for item in std::mem::take(&mut self.items) {
            match keep(item.kind, item.read) {
                Some(read) => self.items.push(Item { read, ..item }),
                None => self.filtered += 1,
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |read: &Read| match read {
            Ok(record) => record.text.clone(),
            Err((_, raw)) => raw.clone(),
        };
        self.items.iter().map(|item| text(&item.read)).collect()
    }

    /// How many records there are, but for those that were filtered.
    pub fn records(&self) -> usize {
        self.items.len()
    }
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
        let identities: Vec<Identity> = arrivals.iter().flat_map(Arrival::identities).collect();
        let mut known = look_up(&mut tx, source_id, &identities).await?;
        let held_until = if hold_ms > 0 { now + hold_ms } else { 0 };
        let origin = Origin { source: source_id, held_until, captured_at: now };
        let mut answers = Vec::with_capacity(arrivals.len());
        let mut flow = Flow::default();
        for arrival in arrivals {
            let owner = owner(&mut tx, arrival.account_ref.as_deref()).await?;
            let mut answer = Appended::default();
            answer.counts.filtered = arrival.filtered;
            let mut fresh: Vec<(usize, NewRow<'_>)> = Vec::new();
            for (place, item) in arrival.items.iter().enumerate() {
                match &item.read {
                    Ok(record) => {
                        let identity = (item.kind, record.id.clone());
                        let before = known.get(&identity).unwrap_or(&Known::Nothing);
                        let decision = decide(before, record).here(&mut tx).await?;
                        match decision {
                            Decision::Unchanged => {
                                answer.counts.unchanged += 1;
                                continue;
                            }
                            Decision::Insert { revision } => {
                                answer.counts.stored += 1;
                                let owner = whose(before, arrival, &owner);
                                fresh.push((place, NewRow::waiting(record, origin, &owner, revision)));
                            }
                            Decision::Replace { seq, revision } => {
                                answer.counts.updated += 1;
                                // A row of this very frame is not written yet: change what will be.
                                let here = fresh.iter_mut().find(|(p, _)| seq < 0 && seq == pending(*p));
                                match here {
                                    Some((_, row)) => {
                                        *row = NewRow::waiting(record, origin, &row.owner, revision);
                                    }
                                    None => rows::replace(&mut tx, seq, revision, record).await?,
                                }
                            }
                            Decision::Revive { seq, revision } => {
                                answer.counts.updated += 1;
                                let kept = rows::leave(&mut tx, seq).await?;
                                fresh.push((place, NewRow::waiting(record, origin, &kept, revision)));
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
                        let own = rejection.record_id.as_ref();
                        let before = own.and_then(|id| known.get(&(item.kind, id.clone())));
                        let owner = whose(before.unwrap_or(&Known::Nothing), arrival, &owner);
                        let one = (item.kind, rejection, raw.as_str());
                        if !rejected::keep(&mut tx, one, origin, &owner, &mut known).await? {
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
            let fresh: Vec<NewRow<'_>> = fresh.into_iter().map(|(_, row)| row).collect();
            let numbers = rows::insert(&mut tx, &fresh).await?;
            // Later frames of this transaction may replace what this one stored.
            for (row, seq) in fresh.iter().zip(numbers) {
                if let Some(Known::Waiting { seq: place, .. }) = known.get_mut(&(row.kind, row.id.clone())) {
                    *place = seq;
                }
            }
            answers.push(answer);
        }
        tabs::note(&mut tx, source_id, arrivals.iter().flat_map(Arrival::accepted), now).await?;
        series::add(&mut tx, now, flow).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

/// Stands for the number of a row that is not written yet: no row has a negative one.
fn pending(place: usize) -> i64 {
    -1 - place as i64
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

/// What was delivered for somebody and comes again in a frame that does not say whose it is: theirs still, whoever is
/// signed in by now.
fn whose(before: &Known, arrival: &Arrival, owner: &Owner) -> Owner {
    match before {
        Known::Delivered { account, .. } if arrival.account_ref.is_none() => {
            Owner { account: Some(*account), claim_ref: None }
        }
        _ => owner.clone(),
    }
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
