//! Everything that is kept here, as NDJSON lines (contract, section 4), read page by page.

use crate::error::Result;
use crate::open::Buffer;
use crate::rows::{kind, lossy};
use crate::state;
use heyho_records::Kind;
use heyho_records::reason::Reason;
use heyho_records::time::timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::Row;

const PAGE: i64 = 500;

/// One record, as it is exported.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportLine {
    pub kind: Kind,
    pub id: String,
    pub source: String,
    pub account: Option<ExportAccount>,
    pub revision: i64,
    pub state: &'static str,
    pub reason: Option<serde_json::Value>,
    pub captured_at: String,
    /// The record as it is stored; a string where what arrived was no JSON.
    pub record: Box<RawValue>,
}

#[derive(Debug, Serialize)]
pub struct ExportAccount {
    pub backend: String,
    pub user: String,
    pub email: String,
}

/// Reads on from where the last page ended.
#[derive(Debug)]
pub struct Reader<'a> {
    buffer: &'a Buffer,
    email: Option<String>,
    only_failed: bool,
    after: i64,
}

impl Buffer {
    pub fn export(&self, email: Option<&str>, only_failed: bool) -> Reader<'_> {
        Reader { buffer: self, email: email.map(str::to_owned), only_failed, after: 0 }
    }
}

impl Reader<'_> {
    /// The next lines; none: that was all.
    pub async fn next(&mut self) -> Result<Vec<ExportLine>> {
        let rows = sqlx::query(
            "SELECT r.seq, r.kind, CAST(r.id AS BLOB), s.name, a.backend, a.user_id, a.email, r.revision, r.state, \
             CAST(f.reason AS BLOB), r.captured_at, CAST(r.text AS BLOB) FROM record r JOIN source s USING (source) \
             LEFT JOIN account a ON a.account = r.account \
             LEFT JOIN failure f ON f.queue = 1 AND f.seq = r.seq AND r.state > 1 \
             WHERE r.kind IN (1, 2) AND r.seq > ?1 AND (?2 IS NULL OR a.email = ?2) AND (NOT ?3 OR r.state > 1) \
             ORDER BY r.seq LIMIT ?4",
        )
        .bind(self.after)
        .bind(&self.email)
        .bind(self.only_failed)
        .bind(PAGE)
        .fetch_all(&self.buffer.pool)
        .await?;
        let mut lines = Vec::with_capacity(rows.len());
        for row in &rows {
            self.after = row.try_get(0)?;
            let text = lossy(row, 11)?;
            let backend: Option<String> = row.try_get(4)?;
            let account = match backend {
                None => None,
                Some(backend) => {
                    Some(ExportAccount { backend, user: row.try_get(5)?, email: row.try_get(6)? })
                }
            };
            let state: i64 = row.try_get(8)?;
            let reason = row.try_get::<Option<Vec<u8>>, _>(9)?.map(|json| {
                let json = String::from_utf8_lossy(&json);
                let mut value: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
                if let (Some(map), Ok(reason)) =
                    (value.as_object_mut(), serde_json::from_str::<Reason>(&json))
                {
                    map.insert("text".to_owned(), reason.text().into());
                    // Whether it asks for attention is the user's word on the reason, and comes back with it.
                    if state == state::FAILED_KEPT {
                        map.insert("kept".to_owned(), true.into());
                    }
                }
                value
            });
            lines.push(ExportLine {
                kind: kind(row.try_get(1)?)?,
                id: lossy(row, 2)?,
                source: row.try_get(3)?,
                account,
                revision: row.try_get(7)?,
                state: if state == state::WAITING { "waiting" } else { "failed" },
                reason,
                captured_at: timestamp(row.try_get(10)?).to_string(),
                record: raw(text),
            });
        }
        Ok(lines)
    }
}

fn raw(text: String) -> Box<RawValue> {
    // One record, one line: in JSON a raw line break stands between values only, where a blank means the same.
    let text = text.replace(['\n', '\r'], " ");
    match RawValue::from_string(text.clone()) {
        Ok(raw) => raw,
        Err(_) => serde_json::value::to_raw_value(&text).unwrap_or_else(|_| RawValue::NULL.to_owned()),
    }
}
