//! Rows of `record`: written, replaced in their place, taken away. What becomes of an arrival is decided
//! elsewhere (`decide`); here it is done.

use crate::error::{BufferError, Result};
use crate::state;
use heyho_records::fault::planted;
use heyho_records::{Kind, Record};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

/// Rows in one statement: few enough for every limit of SQLite, enough to pay for the trip.
pub(crate) const CHUNK: usize = 200;

/// What is written for one record.
#[derive(Debug)]
pub(crate) struct NewRow<'a> {
    pub kind: Kind,
    pub source: i64,
    pub id: String,
    pub owner: Owner,
    pub revision: i64,
    pub text: &'a str,
    pub digest: &'a [u8],
    /// None: what arrived was not accepted.
    pub record: Option<&'a Record>,
    pub state: i64,
    pub held_until: i64,
    pub captured_at: i64,
}

/// Whose a row is; without an account: the ref that may claim it without asking.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub account: Option<i64>,
    pub claim_ref: Option<String>,
}

/// Where a row came from and when, for rows of one frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub source: i64,
    pub held_until: i64,
    pub captured_at: i64,
}

impl<'a> NewRow<'a> {
    /// A record that was accepted, to wait.
    pub fn waiting(record: &'a Record, origin: Origin, owner: &Owner, revision: i64) -> NewRow<'a> {
        NewRow {
            kind: record.kind,
            source: origin.source,
            id: record.id.clone(),
            owner: owner.clone(),
            revision,
            text: &record.text,
            digest: &record.digest,
            record: Some(record),
            state: state::WAITING,
            held_until: origin.held_until,
            captured_at: origin.captured_at,
        }
    }
}

/// Writes the rows in their order, and says which numbers they got.
pub(crate) async fn insert(tx: &mut SqliteConnection, rows: &[NewRow<'_>]) -> Result<Vec<i64>> {
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
                .push_bind(row.source)
                .push_bind(&row.id)
                .push_bind(row.record.is_some_and(|r| r.id_derived))
                .push_bind(row.owner.account)
                .push_bind(&row.owner.claim_ref)
                .push_bind(row.revision)
                .push_bind(row.text)
                .push_bind(row.text.len() as i64)
                .push_bind(checksum(row.text.as_bytes()))
                .push_bind(row.digest)
                .push_bind(complete[0])
                .push_bind(complete[1])
                .push_bind(complete[2])
                .push_bind(facts.and_then(|f| f.tab.as_deref()))
                .push_bind(facts.and_then(|f| f.start_time))
                .push_bind(facts.and_then(|f| f.last_active))
                .push_bind(row.state)
                .push_bind(row.held_until)
                .push_bind(row.captured_at);
        });
        let last = query.build().execute(&mut *tx).await?.last_insert_rowid();
        // AUTOINCREMENT: each number is one more than the greatest there ever was, and nobody else writes meanwhile.
        numbers.extend(last + 1 - chunk.len() as i64..=last);
    }
    Ok(numbers)
}

/// A newer version in the old one's place. Its attempts are forgotten: it is another record now.
pub(crate) async fn replace(
    tx: &mut SqliteConnection,
    seq: i64,
    revision: i64,
    record: &Record,
) -> Result<()> {
    let complete = record.completeness.to_columns();
    sqlx::query(
        "UPDATE record SET revision = ?, text = ?, bytes = ?, checksum = ?, digest = ?, complete_1 = ?, \
         complete_2 = ?, complete_3 = ?, tab = ?, start_time = ?, last_time = ?, attempts = 0 WHERE seq = ?",
    )
    .bind(revision)
    .bind(&record.text)
    .bind(record.text.len() as i64)
    .bind(checksum(record.text.as_bytes()))
    .bind(&record.digest[..])
    .bind(complete[0])
    .bind(complete[1])
    .bind(complete[2])
    .bind(record.facts.tab.as_deref())
    .bind(record.facts.start_time)
    .bind(record.facts.last_active)
    .bind(seq)
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes a failed row away, for a new one; says whose it was.
pub(crate) async fn leave(tx: &mut SqliteConnection, seq: i64) -> Result<Owner> {
    let row = sqlx::query("DELETE FROM record WHERE seq = ? RETURNING account, claim_ref")
        .bind(seq)
        .fetch_one(tx)
        .await?;
    Ok(Owner { account: row.try_get(0)?, claim_ref: row.try_get(1)? })
}

/// By which a text that is not what was stored is noticed.
pub(crate) fn checksum(text: &[u8]) -> i64 {
    i64::from(crc32fast::hash(text))
}

/// Whether a text is what was stored.
pub(crate) fn intact(text: &[u8], stored: i64) -> bool {
    fits(checksum(text), stored)
}

pub(crate) fn fits(sum: i64, stored: i64) -> bool {
    sum == stored || planted("checksum-ignored")
}

/// A column that was read as bytes: a flipped bit may leave a text that is no string.
pub(crate) fn lossy(row: &SqliteRow, column: usize) -> Result<String> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

pub(crate) fn kind(number: i64) -> Result<Kind> {
    Kind::from_number(number).ok_or_else(|| BufferError::Damaged(format!("{number} is no kind of record")))
}
