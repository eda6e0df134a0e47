//! One record as it stands in a request: its stored text verbatim, with a few members added at the end.
//!
//! Added where absent: `id` (when derived), `page_visit_id` (when known), and in baseline mode `visited_at`
//! (HeyHo's service reads two of the four names of that time). Always: `companionSource`, `companionRevision`.
//! A member of one of these names that is there already and must give way is dropped, never doubled.

use crate::plan::Candidate;
use crate::task::Mode;
use heyho_records::Kind;
use heyho_records::json::entries_of;

/// The text on the wire, or why the stored text cannot be sent.
pub fn record(candidate: &Candidate<'_>, mode: Mode) -> Result<String, String> {
    let text = candidate.text.trim();
    let members = entries_of(text).map_err(|error| format!("its text is not a JSON object: {error}"))?;
    let has = |name: &str| members.iter().any(|(key, value)| key == name && value.get() != "null");
    let raw = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| value.get());

    let mut added: Vec<(&str, String)> = Vec::with_capacity(5);
    if candidate.id_derived && !has("id") {
        added.push(("id", quoted(candidate.id)));
    }
    if let Some(visit) = candidate.page_visit_id
        && !has("page_visit_id")
        && !has("pageVisitId")
    {
        added.push(("page_visit_id", quoted(visit)));
    }
    if mode == Mode::Baseline
        && candidate.row.kind == Kind::PageVisit
        && !has("visited_at")
        && !has("startedAt")
    {
        let time = ["visitedAt", "timestamp"].into_iter().find(|name| has(name)).and_then(raw);
        added.extend(time.map(|time| ("visited_at", time.to_owned())));
    }
    added.push(("companionSource", quoted(candidate.source)));
    added.push(("companionRevision", candidate.row.revision.to_string()));

    let gives_way = |key: &str| added.iter().any(|(name, _)| *name == key);
    let mut out = String::with_capacity(text.len() + 128);
    if members.iter().any(|(key, _)| gives_way(key)) {
        out.push('{');
        for (key, value) in members.iter().filter(|(key, _)| !gives_way(key)) {
            member(&mut out, key, value.get());
        }
    } else {
        out.push_str(text.strip_suffix('}').unwrap_or(text).trim_end());
    }
    for (name, value) in &added {
        member(&mut out, name, value);
    }
    out.push('}');
    Ok(out)
}

/// Adds a member to an object that is still open.
pub fn member(out: &mut String, name: &str, value: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&quoted(name));
    out.push(':');
    out.push_str(value);
}

pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
