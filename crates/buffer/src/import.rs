//! Taking in what was exported: the same lines, any number of times.
//!
//! A record keeps its account, its source, its revision and the time it was captured. What is here already
//! is decided as for any arrival (`decide`), so that importing twice changes nothing. A record of nobody
//! stays nobody's: it is claimed when the user says so, not by whoever signs in first.

use crate::accounts::WHEN_ASKED;
use crate::decide::{Decision, Known, decide};
use crate::error::Result;
use crate::known::look_up;
use crate::open::Buffer;
use crate::rows::{self, NewRow, Origin, Owner};
use crate::series::{self, Flow};
use crate::{SignedIn, state, tabs};
use heyho_records::fault::planted;
use heyho_records::json::Json;
use heyho_records::reason::Reason;
use heyho_records::{Code, Kind, Record, time};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;

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

/// The greatest number that JavaScript counts on from; there is room for later versions behind it.
const HIGHEST_REVISION: i64 = (1 << 53) - 1;

impl ImportLine {
    /// Reads one line; in words what is wrong with it otherwise.
    pub fn read(text: &str) -> std::result::Result<ImportLine, String> {
        let line: Line =
            serde_json::from_str(text).map_err(|e| format!("it is no line of `heyho export`: {e}"))?;
        if !(1..=HIGHEST_REVISION).contains(&line.revision) {
            return Err(format!("revision {}: 1 to {HIGHEST_REVISION} are accepted", line.revision));
        }
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

    /// It failed, and the user wanted to hear no more of it.
    fn kept(&self) -> bool {
        let kept = self.line.reason.as_ref().and_then(|reason| reason.get("kept"));
        kept.and_then(serde_json::Value::as_bool) == Some(true)
    }
}

impl Buffer {
    /// All of these lines, or on an error none.
    pub async fn import(&self, lines: &[ImportLine], now: i64) -> Result<Imported> {
        // What is half erased would be here already, and go.
        let mut tx = self.write_unowed().await?;
        self.room(&mut tx).await?;
        let mut imported = Imported::default();
        for line in lines {
            let source = source(&mut tx, line, now).await?;
            let account = account(&mut tx, line, now).await?;
            let identity = (line.line.kind, id_of(line).to_owned());
            let known = look_up(&mut tx, source, std::slice::from_ref(&identity)).await?;
            let known = known.get(&identity).unwrap_or(&Known::Nothing);
            let owner = Owner { account, claim_ref: account.is_none().then(|| WHEN_ASKED.to_owned()) };
            match (&line.record, line.line.state) {
                (Some(record), State::Waiting) => {
                    let origin = Origin { source, held_until: 0, captured_at: line.captured_at };
                    let row = |owner, revision: i64| {
                        NewRow::waiting(record, origin, owner, revision.max(line.line.revision))
                    };
                    // A row keeps its place and its account also here.
                    match decide(known, record).here(&mut tx).await? {
                        Decision::Unchanged => imported.unchanged += 1,
                        Decision::Insert { revision } => {
                            imported.stored += 1;
                            rows::insert(&mut tx, &[row(&owner, revision)]).await?;
                        }
                        Decision::Replace { seq, revision } => {
                            imported.updated += 1;
                            rows::replace(&mut tx, seq, revision.max(line.line.revision), record).await?;
                        }
                        Decision::Revive { seq, revision } => {
                            imported.updated += 1;
                            let kept = rows::leave(&mut tx, seq).await?;
                            rows::insert(&mut tx, &[row(&kept, revision)]).await?;
                        }
                    }
                    tabs::note(&mut tx, source, std::iter::once(record), now).await?;
                }
                _ if *known == Known::Nothing => {
                    imported.stored += 1;
                    insert_failed(&mut tx, line, source, owner, now).await?;
                }
                _ => imported.unchanged += 1,
            }
        }
        let flow = Flow { stored: imported.stored as i64, ..Flow::default() };
        series::add(&mut tx, now, flow).await?;
        if !planted("import-forgets") {
            tx.commit().await?;
        }
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

async fn insert_failed(
    tx: &mut SqliteConnection,
    line: &ImportLine,
    source: i64,
    owner: Owner,
    now: i64,
) -> Result<()> {
    let reason = line.reason();
    // What was rejected is known by its text, what was accepted by its content.
    let rejected = matches!(reason, Reason::RejectedAtCapture { .. });
    let record = line.record.as_ref().filter(|_| !rejected);
    let by_text = Sha256::digest(line.text.as_bytes());
    let row = NewRow {
        kind: line.line.kind,
        source,
        id: id_of(line).to_owned(),
        owner,
        revision: line.line.revision.max(1),
        text: record.map_or(&line.text, |record| &record.text),
        digest: record.map_or(&by_text[..], |record| &record.digest[..]),
        record,
        state: if line.kept() { state::FAILED_KEPT } else { state::FAILED },
        held_until: 0,
        captured_at: line.captured_at,
    };
    for seq in rows::insert(tx, &[row]).await? {
        crate::failed::note(tx, seq, &reason, 1, now).await?;
    }
    tabs::note(tx, source, record.into_iter(), now).await
}
