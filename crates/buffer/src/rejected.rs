//! A record that was not accepted is kept too, among the failed: under its own id where it has one that no good
//! version holds, else under a hash of its text. It is known by its text, as it has no content to compare.

use crate::decide::Known;
use crate::error::Result;
use crate::known::Identity;
use crate::rows::{self, NewRow, Origin, Owner};
use crate::state;
use heyho_records::reason::Reason;
use heyho_records::{Code, Kind, Rejection};
use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;
use std::collections::HashMap;

/// What is kept of a record that is too large to keep.
const KEPT_OF_TOO_LARGE: usize = 4096;

/// Under which ids such a record may stand.
pub(crate) fn ids(rejection: &Rejection, raw: &str) -> [Option<String>; 2] {
    [rejection.record_id.clone(), Some(id_by_content(&Sha256::digest(raw.as_bytes())))]
}

/// Keeps it. False: it is there already.
pub(crate) async fn keep(
    tx: &mut SqliteConnection,
    (kind, rejection, raw): (Kind, &Rejection, &str),
    origin: Origin,
    owner: &Owner,
    known: &mut HashMap<Identity, Known>,
) -> Result<bool> {
    let hash = Sha256::digest(raw.as_bytes());
    let by_content = || id_by_content(&hash);
    let is_here = |id: &str| match known.get(&(kind, id.to_owned())) {
        // By its text: a rejected record that the user had retried may wait, or be delivered, by now.
        Some(
            Known::SetAside { digest, .. } | Known::Waiting { digest, .. } | Known::Delivered { digest, .. },
        ) => digest[..] == hash[..],
        Some(Known::Nothing) | None => false,
    };
    // Under its own id it is found again when it comes corrected; but never in place of a good version.
    // An id that is none (too long, not a string) is shown, and identifies nothing.
    let own = rejection.record_id.clone().filter(|id| !id.is_empty() && rejection.code != Code::MissingId);
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
            (rows::leave(tx, seq).await?, revision + 1)
        }
        _ => (owner.clone(), 1),
    };
    let cut = (rejection.code == Code::RecordTooLarge).then(|| shortened(raw, &hash));
    let row = NewRow {
        kind,
        source: origin.source,
        id,
        owner,
        revision,
        text: cut.as_deref().unwrap_or(raw),
        digest: &hash,
        record: None,
        state: state::FAILED,
        held_until: origin.held_until,
        captured_at: origin.captured_at,
    };
    let reason = Reason::RejectedAtCapture { rule: rejection.code, message: rejection.message.clone() };
    for seq in rows::insert(tx, &[row]).await? {
        crate::failed::note(tx, seq, &reason, 1, origin.captured_at).await?;
        known.insert(
            identity.clone(),
            Known::SetAside { seq, digest: hash.to_vec(), revision, accepted: false },
        );
    }
    Ok(true)
}

/// The beginning of a record that is too large to keep whole, with its size and hash.
fn shortened(raw: &str, hash: &[u8]) -> String {
    let mut end = KEPT_OF_TOO_LARGE.min(raw.len());
    while !raw.is_char_boundary(end) {
        end -= 1;
    }
    serde_json::json!({ "begins": &raw[..end], "bytes": raw.len(), "sha256": hex(hash) }).to_string()
}

/// The id of a record that was not accepted and has none of its own.
fn id_by_content(hash: &[u8]) -> String {
    format!("rejected:{}", hex(&hash[..16]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
