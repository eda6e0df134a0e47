//! Taking in what was exported: the same lines, any number of times.
//!
//! A record keeps its account, its source, its revision and the time it was captured. What is here already
//! is decided as for any arrival (`decide`), so that importing twice changes nothing. A record of nobody
//! stays nobody's: it is claimed when the user says so, not by whoever signs in first.

use crate::accounts::WHEN_ASKED;
use crate::append::{checksum, kind};
use crate::decide::{Decision, Known, decide};
use crate::error::{BufferError, Result};
use crate::open::Buffer;
use crate::{SignedIn, state};
use heyho_records::complete::Completeness;
use heyho_records::json::Json;
use heyho_records::reason::Reason;
use heyho_records::{Code, Kind, Record, time};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use sqlx::{Row, SqliteConnection};

/// A line of an export that can be taken in.
#[derive(Debug)]
pub struct ImportLine {
    line: Line,
    text: String,
    captured_at: i64,
    /// None: it failed and is no acceptable record.
    record: Option<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    kind: Kind,
    id: String,
    source: String,
    account: Option<Account>,
    revision: i64,
    state: State,
    reason: Option<serde_json::Value>,
    captured_at: String,
    record: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
struct Account {
    backend: String,
    user: String,
    email: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Waiting,
    Failed,
}

/// What became of the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    pub stored: u64,
    pub updated: u64,
    pub unchanged: u64,
}

impl ImportLine {
    /// Reads one line; in words what is wrong with it otherwise.
    pub fn read(text: &str) -> std::result::Result<ImportLine, String> {
        let line: Line =
            serde_json::from_str(text).map_err(|e| format!("it is no line of `heyho export`: {e}"))?;
        let moment = Json::parse(&format!("{:?}", line.captured_at)).map_err(|e| e.to_string())?;
        let captured_at = time::millis(&moment).map_err(|e| format!("capturedAt: {e}"))?;
        let mut text = line.record.get().to_owned();
        let invalid = line.reason.as_ref().is_some_and(|reason| {
            reason.get("rule").and_then(serde_json::Value::as_str) == Some("invalid_json")
        });
        // What was no JSON is exported as a string.
        if invalid && let Ok(inner) = serde_json::from_str::<String>(&text) {
            text = inner;
        }
        let record = match (Record::read(line.kind, &text), line.state) {
            (Ok(record), _) => Some(record),
            (Err(_), State::Failed) => None,
            (Err(rejection), State::Waiting) => return Err(format!("record: {rejection}")),
        };
        Ok(ImportLine { line, text, captured_at, record })
    }

    fn reason(&self) -> Reason {
        let reason = self.line.reason.clone().unwrap_or_default();
        let message =
            reason.get("text").and_then(serde_json::Value::as_str).unwrap_or("not known").to_owned();
        serde_json::from_value(reason)
            .unwrap_or(Reason::RejectedAtCapture { rule: Code::InvalidJson, message })
    }
}

impl Buffer {
    /// All of these lines, or on an error none.
    pub async fn import(&self, lines: &[ImportLine], now: i64) -> Result<Imported> {
        let mut tx = self.write().await?;
        self.room(&mut tx).await?;
        let mut imported = Imported::default();
        for line in lines {
            let source = source(&mut tx, line, now).await?;
            let account = account(&mut tx, line, now).await?;
            let known = known(&mut tx, source, line).await?;
            let decision = match (&line.record, line.line.state, &known) {
                (Some(record), State::Waiting, _) => decide(&known, record),
                (_, State::Failed, Known::Nothing) => Decision::Insert { revision: 1 },
                _ => Decision::Unchanged,
            };
            match decision {
                Decision::Unchanged => imported.unchanged += 1,
                Decision::Insert { revision } => {
                    imported.stored += 1;
                    insert(&mut tx, line, source, account, revision, now).await?;
                }
                // In its place or anew: a row keeps its account also here.
                Decision::Replace { seq, revision } | Decision::Revive { seq, revision } => {
                    imported.updated += 1;
                    let kept = sqlx::query_scalar("DELETE FROM record WHERE seq = ? RETURNING account")
                        .bind(seq)
                        .fetch_one(&mut *tx)
                        .await?;
                    insert(&mut tx, line, source, kept, revision, now).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(imported)
    }
}

async fn source(tx: &mut SqliteConnection, line: &ImportLine, now: i64) -> Result<i64> {
    let name = &line.line.source;
    let profile = name.rsplit_once('#').map_or("", |(_, profile)| profile);
    Ok(sqlx::query_scalar(
        "INSERT INTO source (name, profile_id, seen_at) VALUES (?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET name = name RETURNING source",
    )
    .bind(name)
    .bind(profile)
    .bind(now)
    .fetch_one(tx)
    .await?)
}

async fn account(tx: &mut SqliteConnection, line: &ImportLine, now: i64) -> Result<Option<i64>> {
    let Some(account) = &line.line.account else { return Ok(None) };
    let who = SignedIn {
        backend: account.backend.clone(),
        user_id: account.user.clone(),
        email: account.email.clone(),
        claim_others: false,
    };
    Ok(Some(
        sqlx::query_scalar(
            "INSERT INTO account (ref, backend, user_id, email, added_at) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (backend, user_id) DO UPDATE SET email = email RETURNING account",
        )
        .bind(who.account_ref())
        .bind(&who.backend)
        .bind(&who.user_id)
        .bind(&who.email)
        .bind(now)
        .fetch_one(tx)
        .await?,
    ))
}

fn id_of(line: &ImportLine) -> &str {
    match (&line.record, line.line.state) {
        (Some(record), State::Waiting) => &record.id,
        // Among the failed a record may stand under an id that was made for it.
        _ => &line.line.id,
    }
}

async fn known(tx: &mut SqliteConnection, source: i64, line: &ImportLine) -> Result<Known> {
    let row = sqlx::query(
        "SELECT seq, digest, revision, state, complete_1, complete_2, complete_3, kind FROM record \
         WHERE source = ? AND kind = ? AND id = ?",
    )
    .bind(source)
    .bind(line.line.kind.number())
    .bind(id_of(line))
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        let (seq, digest, revision) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        kind(row.try_get(7)?)?;
        if row.try_get::<i64, _>(3)? != state::WAITING {
            return Ok(Known::SetAside { seq, digest, revision, accepted: true });
        }
        let measures = [row.try_get(4)?, row.try_get(5)?, row.try_get(6)?];
        let completeness = Completeness::from_columns(measures);
        return Ok(Known::Waiting { seq, digest, revision, completeness });
    }
    let row = sqlx::query("SELECT digest, revision FROM delivered WHERE source = ? AND kind = ? AND id = ?")
        .bind(source)
        .bind(line.line.kind.number())
        .bind(id_of(line))
        .fetch_optional(tx)
        .await?;
    Ok(match row {
        Some(row) => Known::Delivered { digest: row.try_get(0)?, revision: row.try_get(1)? },
        None => Known::Nothing,
    })
}

async fn insert(
    tx: &mut SqliteConnection,
    line: &ImportLine,
    source: i64,
    account: Option<i64>,
    revision: i64,
    now: i64,
) -> Result<()> {
    let record = line.record.as_ref();
    // What was rejected is known by its text, what was accepted by its content.
    let rejected =
        matches!((line.line.state, line.reason()), (State::Failed, Reason::RejectedAtCapture { .. }));
    let digest = match record.filter(|_| !rejected) {
        Some(record) => record.digest.to_vec(),
        None => Sha256::digest(line.text.as_bytes()).to_vec(),
    };
    let text = record.filter(|_| !rejected).map_or(&line.text, |record| &record.text);
    let complete = record.map_or([None; 3], |record| record.completeness.to_columns());
    let facts = record.map(|record| &record.facts);
    let failed = line.line.state == State::Failed;
    let seq: i64 = sqlx::query_scalar(
        "INSERT INTO record (kind, source, id, id_derived, account, claim_ref, revision, text, bytes, checksum, \
         digest, complete_1, complete_2, complete_3, tab, start_time, last_time, state, captured_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
    )
    .bind(line.line.kind.number())
    .bind(source)
    .bind(id_of(line))
    .bind(record.is_some_and(|record| record.id_derived))
    .bind(account)
    .bind(account.is_none().then_some(WHEN_ASKED))
    .bind(revision.max(line.line.revision))
    .bind(text)
    .bind(text.len() as i64)
    .bind(checksum(text))
    .bind(digest)
    .bind(complete[0])
    .bind(complete[1])
    .bind(complete[2])
    .bind(facts.and_then(|f| f.tab.as_deref()))
    .bind(facts.and_then(|f| f.start_time))
    .bind(facts.and_then(|f| f.last_active))
    .bind(if failed { state::FAILED } else { state::WAITING })
    .bind(line.captured_at)
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| BufferError::Unavailable("a row was not numbered".to_owned()))?;
    if failed {
        crate::failed::note(tx, seq, &line.reason(), 1, now).await?;
    }
    if let (Kind::PageVisit, Some(facts)) = (line.line.kind, facts)
        && let (Some(tab), Some(visited_at)) = (&facts.tab, facts.visited_at)
    {
        sqlx::query(
            "INSERT OR IGNORE INTO tab_visit (source, tab, visited_at, id, noted_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(source)
        .bind(tab)
        .bind(visited_at)
        .bind(id_of(line))
        .bind(now)
        .execute(tx)
        .await?;
    }
    Ok(())
}
