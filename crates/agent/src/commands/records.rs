//! `waiting.*`, `failed.*`, `export`: the records that are kept here.

use super::{Counted, Service, buffer};
use crate::export;
use heyho_buffer::{Failed, FailedQuery, WaitingRow};
use heyho_local::paths::by_name;
use heyho_local::vocabulary::{
    Count, FailedPage, FailedRecord, Fault, FaultCode, ReasonCount, Selection, WaitingPage, WaitingRecord,
};
use heyho_records::glance::Glance;
use heyho_records::json::Json;
use heyho_records::time::timestamp;
use jiff::Timestamp;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

/// Records in one answer.
const MOST: u32 = 1_000;

impl Service {
    pub(super) async fn waiting_page(
        &self,
        after: i64,
        limit: u32,
        search: Option<&str>,
    ) -> Result<WaitingPage, Fault> {
        let now = self.clock.now_ms();
        let page = self.buffer.waiting_page(after, limit.min(MOST), search, now).await.map_err(buffer)?;
        let records = page.rows.into_iter().map(waiting_record);
        Ok(WaitingPage { records: records.collect(), next: page.next, total: page.total })
    }

    pub(super) async fn waiting_discard(&self, which: Selection) -> Result<Count, Fault> {
        let count = match which {
            Selection::Ids(numbers) => self.buffer.discard_waiting(&numbers).await.map_err(buffer)?,
            Selection::All => self.buffer.discard_all_waiting().await.map_err(buffer)?,
            Selection::Reason(_) => {
                return Err(Fault::new(FaultCode::Usage, "what waits has no reason: give numbers, or all"));
            }
        };
        self.live.touch();
        Ok(Count { count })
    }

    pub(super) async fn failed_page(
        &self,
        after: i64,
        limit: u32,
        reason: Option<&str>,
    ) -> Result<FailedPage, Fault> {
        // A question about these must never reach more than it names.
        let marks = self.buffer.failed_marks(reason).await.map_err(buffer)?;
        let total = marks.len() as u64;
        let as_of = Some(self.counted().note(reason, marks, self.clock.now()));
        let records = self.buffer.failed(after, limit.min(1_000), reason).await.map_err(buffer)?;
        let reasons: Vec<ReasonCount> = self
            .buffer
            .failed_by_reason()
            .await
            .map_err(buffer)?
            .into_iter()
            .map(|(code, count)| ReasonCount { code, count })
            .collect();
        let records = records.into_iter().map(|failed| shown(failed, false)).collect();
        Ok(FailedPage { records, total, as_of, reasons })
    }

    pub(super) async fn failed_show(&self, number: i64) -> Result<FailedRecord, Fault> {
        match self.buffer.failed_one(number).await.map_err(buffer)? {
            Some(failed) => Ok(shown(failed, true)),
            None => Err(Fault::new(FaultCode::NotFound, format!("there is no failed record {number}"))),
        }
    }

    pub(super) async fn failed_retry(&self, which: Selection) -> Result<Count, Fault> {
        let count = self.buffer.retry_failed(&query(which)).await.map_err(buffer)?;
        self.live.touch();
        // Whoever presses Retry wants it tried now; where that cannot be, it waits its turn.
        let _ = self.sync(false).await;
        Ok(Count { count })
    }

    pub(super) async fn failed_discard(
        &self,
        which: Selection,
        as_of: Option<Timestamp>,
    ) -> Result<Count, Fault> {
        let all = matches!(which, Selection::All);
        let which = match as_of {
            Some(as_of) => FailedQuery::Numbers(self.failed_by(which, as_of).await?),
            None => query(which),
        };
        let count = self.buffer.discard_failed(&which).await.map_err(buffer)?;
        if all && as_of.is_some() {
            // To the buffer these are chosen ones.
            self.buffer.traces_removed().await;
        }
        self.live.touch();
        Ok(Count { count })
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of those that were counted then.
    async fn failed_by(&self, which: Selection, as_of: Timestamp) -> Result<Vec<i64>, Fault> {
        let reason = match &which {
            Selection::Reason(code) => Some(code.as_str()),
            Selection::All | Selection::Ids(_) => None,
        };
        let mut marks = self.buffer.failed_marks(reason).await.map_err(buffer)?;
        {
            let counted = self.counted();
            marks.retain(|mark| counted.has(as_of, *mark));
        }
        let mut numbers: Vec<i64> = marks.into_iter().map(|(number, _)| number).collect();
        if let Selection::Ids(chosen) = which {
            numbers.retain(|number| chosen.contains(number));
        }
        Ok(numbers)
    }

    pub(super) async fn failed_keep(&self, which: Selection) -> Result<Count, Fault> {
        let count = self.buffer.keep_failed(&query(which)).await.map_err(buffer)?;
        self.live.touch();
        Ok(Count { count })
    }

    pub(super) async fn export(
        &self,
        path: &Path,
        failed: bool,
        account: Option<&str>,
        force: bool,
    ) -> Result<Count, Fault> {
        if !path.is_absolute() {
            let text = format!("{} is not an absolute path", path.display());
            return Err(Fault::new(FaultCode::Usage, text));
        }
        let written =
            export::to_file(&self.buffer, path, &export::What { failed, account }, force, &|| {}).await;
        // It is the window that exports by way of the agent, and where the file goes is the shell's business.
        let count = written.map_err(|fault| Fault { text: by_name(&fault.text, path), ..fault })?;
        Ok(Count { count })
    }
}

fn query(which: Selection) -> FailedQuery {
    match which {
        Selection::Ids(numbers) => FailedQuery::Numbers(numbers),
        Selection::Reason(code) => FailedQuery::Reason(code),
        Selection::All => FailedQuery::All,
    }
}

/// A record that waits, as lists show it.
pub fn waiting_record(row: WaitingRow) -> WaitingRecord {
    WaitingRecord {
        number: row.number,
        kind: row.kind,
        id: row.id,
        title: row.glance.title,
        host: row.glance.host,
        url: row.glance.url,
        bytes: row.bytes,
        captured_at: timestamp(row.captured_at),
        held_until: row.held_until.map(timestamp),
        account: row.email,
        own: row.own,
    }
}

/// A failed record, as lists show it; with its text where it is asked for alone.
pub fn shown(failed: Failed, whole: bool) -> FailedRecord {
    let Glance { title, host, url } = Glance::of(&failed.text);
    FailedRecord {
        number: failed.seq,
        kind: failed.kind,
        // One that broke a rule of ours stands under an id that was made for it: its own is known better.
        id: own_id(&failed.text).unwrap_or(failed.id),
        title,
        host,
        url,
        text: failed.reason.text(),
        reason: failed.reason,
        first_at: timestamp(failed.first_at),
        last_at: timestamp(failed.last_at),
        attempts: failed.attempts,
        kept: failed.kept,
        account: failed.email,
        own: failed.own,
        record: whole.then_some(failed.text),
    }
}

fn own_id(text: &str) -> Option<String> {
    let tree = Json::parse(text).ok()?;
    ["id", "visitId"].into_iter().find_map(|name| tree.get(name)?.as_str().map(str::to_owned))
}
