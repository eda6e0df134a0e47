//! The next batch: the one that is in flight, or the oldest that waits, with what must go along.

use super::{Carrier, row};
use crate::extras::{extras, one_source};
use heyho_buffer::{Anchor, BufferError, Fate, NewBatch, Settlement, Waiting};
use heyho_local::clock;
use heyho_records::Kind;
use heyho_records::fault::planted;
use heyho_records::reason::Reason;
use heyho_sync::plan::{Anchor as PlanAnchor, Candidate, Envelope, Tab, plan};
use heyho_sync::policy::{OPENERS_DEEP, WINDOWS_MOST};
use heyho_sync::task::{Batch, BatchItem, BatchLimits, Mode, Pick, Role, RowRef, Taken, Unsendable};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

impl Carrier {
    pub(super) async fn take_batch(&mut self, limits: &BatchLimits) -> Result<Taken, BufferError> {
        self.mode = limits.mode;
        // The fault: what was in flight is forgotten, and its records go out under another key.
        let in_flight = match planted("forgets-flight") {
            true => self.forget_flight().await?,
            false => self.buffer.in_flight(self.account).await?,
        };
        if let Some(flight) = in_flight {
            if let Some(batch) = self.as_batch(&flight).await? {
                self.flight = Some(flight);
                return Ok(Taken { batch: Some(batch), ..Taken::default() });
            }
            tracing::error!("the batch in flight is not what was stored: its records are sent in another");
            self.end(&flight).await?;
        }
        // What is oldest may all wait for something that cannot go now: then more is read, to find what may.
        let (mut windows, mut before) = (1, 0);
        loop {
            let rows = self.candidates(limits, windows).await?;
            let read = rows.len();
            let taken = self.planned(limits, rows).await?;
            let behind = taken.batch.is_none()
                && taken.unsendable.is_empty()
                && read > 0
                && matches!(limits.pick, Pick::Oldest { .. });
            // The fault: what waits for something else stands in everybody's way.
            let stuck = behind && read > before && !planted("stuck-at-the-head");
            if !stuck || windows >= WINDOWS_MOST {
                // The fault: what cannot go yet is not there.
                return Ok(Taken { behind: behind && !planted("all-is-delivered"), ..taken });
            }
            (windows, before) = (windows * 2, read);
        }
    }

    /// A request of these rows, persisted.
    async fn planned(&mut self, limits: &BatchLimits, mut rows: Vec<Waiting>) -> Result<Taken, BufferError> {
        self.leave_behind(limits, &mut rows).await?;
        let openers = self.openers(limits, &mut rows).await?;
        let (intact, damaged): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.intact);
        let mut unsendable: Vec<Unsendable> = damaged
            .iter()
            .map(|row| Unsendable {
                row: row_ref(row),
                reason: Reason::Damaged { message: "its checksum does not match".to_owned() },
            })
            .collect();
        let batch_id = clock::new_id().to_string();
        let extras = match one_source(&intact) {
            Some(_) => extras(&intact, &self.buffer.sources().await?),
            None => BTreeMap::new(),
        };
        let envelope = Envelope { batch_id: batch_id.clone(), device_id: self.device_id.clone(), extras };
        let anchors = self.anchors(limits.mode, &intact).await?;
        let lives: Vec<String> = intact.iter().map(life).collect();
        let rows = intact.iter().zip(&lives);
        let candidates = rows.map(|(row, life)| candidate(row, life, openers.get(&row.seq), &anchors));
        let planned = plan(&envelope, limits, candidates);
        unsendable.extend(planned.unsendable);
        if planned.items.is_empty() {
            return Ok(Taken { unsendable, ..Taken::default() });
        }
        let items = planned.items.iter().map(|item| row(item.row)).collect::<Vec<_>>();
        let bytes = planned.body.len();
        let new = NewBatch { key: batch_id.clone(), body: planned.body, items };
        let number = self.buffer.begin_batch(self.account, &new, self.clock.now_ms()).await?;
        self.flight = Some(heyho_buffer::Batch {
            batch: number,
            key: new.key,
            body: new.body,
            items: new.items,
            intact: true,
        });
        let batch = Some(Batch { batch_id, items: planned.items, bytes });
        Ok(Taken { batch, unsendable, behind: false })
    }

    async fn forget_flight(&self) -> Result<Option<heyho_buffer::Batch>, BufferError> {
        if let Some(flight) = self.buffer.in_flight(self.account).await? {
            self.end(&flight).await?;
        }
        Ok(None)
    }

    /// What is in it waits again, in its old place.
    async fn end(&self, flight: &heyho_buffer::Batch) -> Result<(), BufferError> {
        let ended = Settlement { fate: Fate::End, ..Settlement::default() };
        self.buffer.settle(Some(flight.batch), &ended, self.clock.now_ms()).await.map(drop)
    }

    /// An aggregate whose visit is left out (passed over, or under suspicion) waits with it: without one of its tab it
    /// would be skipped in silence, and be blamed for it.
    async fn leave_behind(&self, limits: &BatchLimits, rows: &mut Vec<Waiting>) -> Result<(), BufferError> {
        let Pick::Oldest { skip } = &limits.pick else { return Ok(()) };
        let visits = skip.iter().filter(|row| row.kind == Kind::PageVisit);
        let seqs: Vec<i64> = visits.map(|row| row.seq).collect();
        if limits.mode == Mode::Full || seqs.is_empty() || planted("parts-tabs") {
            return Ok(());
        }
        let skipped: BTreeSet<String> =
            self.buffer.waiting(self.account, &seqs).await?.iter().map(life).collect();
        let mut others = BTreeMap::new();
        for row in rows.iter().filter(|row| row.kind == Kind::PageVisit) {
            others.entry(life(row)).or_insert(row.seq);
        }
        rows.retain(|row| {
            let has_visit = row.anchor.is_some() || others.get(&life(row)).is_some_and(|seq| *seq < row.seq);
            row.kind == Kind::PageVisit || has_visit || !skipped.contains(&life(row))
        });
        Ok(())
    }

    /// The visits that go along with their tabs' aggregates.
    async fn anchors(&self, mode: Mode, rows: &[Waiting]) -> Result<Vec<Anchor>, BufferError> {
        if mode == Mode::Full {
            return Ok(Vec::new());
        }
        let mut numbers: Vec<i64> = rows.iter().filter_map(|row| row.anchor).collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.buffer.anchors(self.account, &numbers).await
    }

    /// Puts visits that opened others in front of them, from beyond what was read too; and gives, for each row, the
    /// visit that opened it, where that waits. Of rows that were asked for by name, those that opened each other in a
    /// circle wait for nobody who is not among them: none of them is first, and each must be tried alone.
    async fn openers(
        &self,
        limits: &BatchLimits,
        rows: &mut Vec<Waiting>,
    ) -> Result<BTreeMap<i64, String>, BufferError> {
        let mut opened: BTreeMap<i64, (i64, String)> = BTreeMap::new();
        if limits.mode == Mode::Full {
            return Ok(BTreeMap::new());
        }
        let mut named = named(rows);
        for _ in 0..OPENERS_DEEP {
            let visits = named.iter().map(|it| it.1.clone()).collect();
            let waiting = self.buffer.waiting_visits(self.account, &visits).await?;
            let mut missing = BTreeSet::new();
            for (seq, visit) in named {
                let Some(opener) = waiting.get(&visit).filter(|opener| **opener != seq) else { continue };
                opened.insert(seq, (*opener, visit.1));
                missing.insert(*opener);
            }
            missing.retain(|seq| !opened.contains_key(seq) && !rows.iter().any(|row| row.seq == *seq));
            let found = match &limits.pick {
                Pick::Oldest { skip } => {
                    missing.retain(|seq| !skip.iter().any(|row| row.seq == *seq));
                    let missing: Vec<i64> = missing.into_iter().collect();
                    self.buffer.sendable(self.account, &missing, self.clock.now_ms()).await?
                }
                Pick::Rows(_) => {
                    let missing: Vec<i64> = missing.into_iter().collect();
                    self.buffer.waiting(self.account, &missing).await?
                }
            };
            if found.is_empty() {
                break;
            }
            named = self::named(&found);
            if matches!(limits.pick, Pick::Oldest { .. }) {
                rows.splice(0..0, found);
            }
        }
        let free = |seq: &i64, opener: &i64| {
            let beyond = !rows.iter().any(|row| row.seq == *opener);
            matches!(limits.pick, Pick::Rows(_)) && beyond && in_circle(&opened, *seq)
        };
        let held =
            opened.iter().filter(|(seq, (opener, _))| !free(seq, opener) || planted("waits-in-circles"));
        Ok(held.map(|(seq, (_, id))| (*seq, id.clone())).collect())
    }

    /// So many times what fits a request.
    async fn candidates(&self, limits: &BatchLimits, windows: usize) -> Result<Vec<Waiting>, BufferError> {
        // The fault: what is sent is whose turn it is now, with the tokens of whoever began.
        let account = match planted("run-outlives-account") {
            true => self.buffer.signed_in().await?.map_or(self.account, |account| account.id),
            false => self.account,
        };
        match &limits.pick {
            Pick::Oldest { skip } => {
                let skip: Vec<i64> = skip.iter().map(|row| row.seq).collect();
                let most = heyho_buffer::Limits {
                    page_visits: limits.max_page_visits * windows,
                    tab_aggregates: limits.max_tab_aggregates * windows,
                    bytes: limits.max_bytes.saturating_mul(windows),
                };
                let now = self.clock.now_ms();
                match limits.mode {
                    Mode::Full => self.buffer.oldest(account, most, &skip, now).await,
                    // An aggregate that comes before its visit is skipped there and counted nowhere.
                    Mode::Baseline => self.buffer.oldest_in_order(account, most, &skip, now).await,
                }
            }
            Pick::Rows(rows) => {
                let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
                self.buffer.waiting(account, &seqs).await
            }
        }
    }

    /// A batch that was persisted, in this run or before a crash. None: it is not what was stored.
    async fn as_batch(&self, flight: &heyho_buffer::Batch) -> Result<Option<Batch>, BufferError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            batch_id: String,
        }
        let Some(head) = serde_json::from_slice::<Head>(&flight.body).ok().filter(|_| flight.intact) else {
            return Ok(None);
        };
        let seqs: Vec<i64> = flight.items.iter().map(|item| item.seq).collect();
        let known = self.buffer.attempts(&seqs).await?;
        let along: Vec<i64> = seqs.iter().filter(|seq| **seq < 0).map(|seq| -seq).collect();
        let anchors = self.buffer.anchors(self.account, &along).await?;
        let items = flight
            .items
            .iter()
            .map(|item| {
                let found = known.iter().find(|(seq, ..)| *seq == item.seq);
                if item.seq < 0 {
                    let anchor = anchors.iter().find(|anchor| anchor.anchor == -item.seq);
                    return BatchItem {
                        row: RowRef { kind: item.kind, seq: item.seq, revision: item.revision },
                        id: anchor.map_or_else(String::new, |anchor| anchor.id.clone()),
                        attempts: 0,
                        role: Role::Anchor,
                    };
                }
                BatchItem {
                    row: RowRef { kind: item.kind, seq: item.seq, revision: item.revision },
                    id: found.map_or_else(String::new, |(_, _, id)| id.clone()),
                    attempts: found.map_or(0, |(_, attempts, _)| *attempts),
                    role: Role::Own,
                }
            })
            .collect();
        Ok(Some(Batch { batch_id: head.batch_id, items, bytes: flight.body.len() }))
    }
}

fn row_ref(row: &Waiting) -> RowRef {
    RowRef { kind: row.kind, seq: row.seq, revision: row.revision }
}

/// The visits that opened these, by source and id.
fn named(rows: &[Waiting]) -> Vec<(i64, (String, String))> {
    rows.iter().filter_map(|row| Some((row.seq, (row.source.clone(), opener_of(row)?)))).collect()
}

/// Whether a visit opened itself by way of others, or by so many that nobody looks further.
fn in_circle(opened: &BTreeMap<i64, (i64, String)>, seq: i64) -> bool {
    let mut at = seq;
    for _ in 0..OPENERS_DEEP {
        match opened.get(&at) {
            Some((opener, _)) => at = *opener,
            None => return false,
        }
        if at == seq {
            return true;
        }
    }
    true
}

/// The visit that opened this one, as HeyHo's extension says it.
fn opener_of(row: &Waiting) -> Option<String> {
    #[derive(Deserialize)]
    struct Opened {
        source_page_visit_id: Option<String>,
    }
    let may = row.kind == Kind::PageVisit && row.text.contains("source_page_visit_id");
    serde_json::from_str::<Opened>(&row.text).ok().filter(|_| may)?.source_page_visit_id
}

/// Tells apart two tabs of the same id: of two browser profiles, or before and after a restart.
fn life(row: &Waiting) -> String {
    format!("{}/{}/{}", row.source, row.tab.as_deref().unwrap_or_default(), row.life.unwrap_or_default())
}

fn candidate<'a>(
    row: &'a Waiting,
    life: &'a str,
    opener: Option<&'a String>,
    anchors: &'a [Anchor],
) -> Candidate<'a> {
    let anchor = row.anchor.and_then(|number| anchors.iter().find(|anchor| anchor.anchor == number));
    Candidate {
        row: row_ref(row),
        source: &row.source,
        id: &row.id,
        id_derived: row.id_derived,
        page_visit_id: row.page_visit_id.as_deref().filter(|_| row.kind == Kind::TabAggregate),
        attempts: row.attempts,
        text: &row.text,
        tab: row.tab.as_deref().map(|tab| Tab { id: tab, life }),
        opener: opener.map(String::as_str),
        anchor: anchor.map(|anchor| PlanAnchor {
            row: RowRef { kind: Kind::PageVisit, seq: -anchor.anchor, revision: 0 },
            source: &anchor.source,
            id: &anchor.id,
            text: &anchor.text,
        }),
    }
}
