//! What an answer means: one pure function from (what was sent, what came back) to a verdict.
//!
//! - The `code` in the body decides before the status: proxies and frameworks rewrite statuses.
//! - A 200 is not proof. It confirms what it accounts for: a JSON object, of this batch, with counts that add
//!   up for a kind. Only a JSON object without any counts and without an error confirms by itself (S0).
//! - A count that is short names nobody: then nothing of its kind is confirmed.
//! - Whatever is not understood deletes nothing.

use crate::answer::{Answer, Redirect, Reply};
use crate::body::{Body, Counts};
use crate::names::{Named, named_in, names_another};
use crate::policy;
use crate::task::{BatchItem, Role};
use crate::why::{NotProof, Why};
use heyho_records::Kind;
use heyho_records::fault::planted;
use std::collections::BTreeSet;
use std::time::Duration;

/// What was sent: enough to check an answer against.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    pub batch_id: &'a str,
    pub items: &'a [BatchItem],
    pub bytes: usize,
}

/// What an answer means for the batch it answers. Numbers are indices into [`Sent::items`].
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The request was carried out, and this is accounted for.
    Accounted(Accounted),
    /// Nothing was saved; these records are invalid, the others were not judged.
    Named(Vec<Named>),
    /// Nothing was saved and nobody is named. `calls_invalid`: the body is of a shape by which a backend calls
    /// records invalid, not just any refusal.
    Refused { status: u16, calls_invalid: bool, message: String },
    /// Too many bytes; the limit where the backend says one that is below what was sent.
    TooLarge { limit: Option<usize> },
    /// Too many records.
    TooMany,
    /// The key was used for another body.
    KeyReused,
    /// The access token is not accepted.
    SignedOut,
    /// Sending again changes nothing until somebody changes a setting.
    Configuration(Why),
    /// Try again later, not before `floor`. `server_fault`: the batch itself may be the cause.
    Later { why: Why, floor: Option<Duration>, server_fault: bool },
}

/// What a 200 accounts for. Every own item is in exactly one list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Accounted {
    pub confirmed: Vec<usize>,
    pub refused: Vec<Named>,
    /// Their kind's count is short, and nobody knows by which of them.
    pub short: Vec<usize>,
}

/// Judges the answer to a batch.
pub fn classify(reply: &Reply, sent: Sent<'_>) -> Verdict {
    let answer = match reply {
        Ok(answer) => answer,
        Err(error) => return later(Why::NoAnswer { error: error.clone() }),
    };
    let body = Body::read(&answer.body);
    if let Some(verdict) = by_code(answer, &body, sent) {
        return verdict;
    }
    match answer.status {
        200 => judge_success(answer, &body, sent),
        400 | 422 => refusal(answer, &body, sent),
        // The backend's own 401 is no page.
        401 if body == Body::Html => later(Why::Portal),
        401 => Verdict::SignedOut,
        408 | 425 => {
            after(answer, &body, Why::NoAnswer { error: crate::answer::TransportError::AnswerTimeout })
        }
        409 => after(answer, &body, Why::StillWorking),
        413 => too_large(&body, sent),
        429 => after(answer, &body, Why::RateLimited),
        status => by_status(answer, &body, status),
    }
}

/// The codes of the contract and of S2, wherever they stand.
fn by_code(answer: &Answer, body: &Body, sent: Sent<'_>) -> Option<Verdict> {
    Some(match body.code()? {
        "VALIDATION_ERROR" => refusal(answer, body, sent),
        "UNAUTHORIZED" => Verdict::SignedOut,
        "IDEMPOTENCY_IN_PROGRESS" | "CONFLICT_DETECTED" => after(answer, body, Why::StillWorking),
        "IDEMPOTENCY_KEY_REUSED" => Verdict::KeyReused,
        "PAYLOAD_TOO_LARGE" => too_large(body, sent),
        "BATCH_TOO_LARGE" => Verdict::TooMany,
        "RATE_LIMITED" => after(answer, body, Why::RateLimited),
        "SYNC_FAILED" => server_fault(answer, body),
        _ => return None,
    })
}

/// Everything that concerns no batch in particular; shared with the answers to checks.
fn by_status(answer: &Answer, body: &Body, status: u16) -> Verdict {
    match status {
        300..=399 => redirected(answer),
        403 => Verdict::Configuration(Why::Forbidden),
        404 | 410 => Verdict::Configuration(Why::NotFound),
        405 | 501 => Verdict::Configuration(Why::MethodNotAllowed),
        407 => Verdict::Configuration(Why::ProxySignIn),
        426 => Verdict::Configuration(Why::UpgradeRequired),
        511 => after(answer, body, Why::Portal),
        500..=599 => server_fault(answer, body),
        100..=299 => later(Why::NotProof { answer: NotProof::OtherStatus(status) }),
        _ => Verdict::Configuration(Why::UnexpectedStatus { status }),
    }
}

fn judge_success(answer: &Answer, body: &Body, sent: Sent<'_>) -> Verdict {
    let object = match body {
        Body::Object(object) => object,
        Body::Html => return later(Why::Portal),
        Body::Empty => return not_proof(NotProof::Empty),
        Body::NotJson => return not_proof(NotProof::NotJson),
        Body::NotAnObject => return not_proof(NotProof::NotAnObject),
    };
    if object.says_no() {
        let named = named_in(object, sent.items);
        if !named.is_empty() {
            return Verdict::Named(named);
        }
        // A backend that says no with a 200 may be saying it about this batch.
        return Verdict::Later {
            why: Why::NotProof { answer: NotProof::SaysNo },
            floor: floor(answer, body),
            server_fault: true,
        };
    }
    if object.batch_id().is_some_and(|id| id != sent.batch_id) {
        return not_proof(NotProof::OtherBatch);
    }
    let mut accounted = account(object.counts(), named_in(object, sent.items), sent.items);
    if names_another(object, sent.items) && !planted("confirms-uncounted") {
        accounted.short.append(&mut accounted.confirmed);
        accounted.short.sort_unstable();
    }
    Verdict::Accounted(accounted)
}

/// Which items the counts prove.
fn account(counts: Counts, refused: Vec<Named>, items: &[BatchItem]) -> Accounted {
    let named: BTreeSet<usize> = refused.iter().map(|it| it.index).collect();
    let mut shortfall = 0;
    let mut holds = [false; 2];
    for (place, kind) in holds.iter_mut().zip(Kind::ALL) {
        let of_kind = |index: usize| items.get(index).is_some_and(|it| it.row.kind == kind);
        let sent = items.iter().filter(|it| it.row.kind == kind).count() as u64;
        let named = named.iter().filter(|index| of_kind(**index)).count() as u64;
        *place = match counts.of(kind) {
            _ if planted("confirms-uncounted") => true,
            None if counts.absent() => refused.is_empty() && counts.rejected.unwrap_or(0) == 0,
            None => sent == named,
            Some(synced) => synced.checked_add(named) == Some(sent),
        };
        shortfall += sent.saturating_sub(named).saturating_sub(counts.of(kind).unwrap_or(0));
    }
    // A rejected count must be covered by names and shortfalls, else the answer contradicts itself.
    let explained = named.len() as u64..=named.len() as u64 + shortfall;
    if !counts.absent() && counts.rejected.is_some_and(|rejected| !explained.contains(&rejected)) {
        holds = [planted("confirms-uncounted"); 2];
    }
    let mut accounted = Accounted { refused, ..Accounted::default() };
    for (index, item) in items.iter().enumerate() {
        let held = Kind::ALL.iter().zip(holds).any(|(kind, held)| *kind == item.row.kind && held);
        if named.contains(&index) || item.role == Role::Anchor {
            continue;
        }
        if held { &mut accounted.confirmed } else { &mut accounted.short }.push(index);
    }
    accounted
}

fn refusal(answer: &Answer, body: &Body, sent: Sent<'_>) -> Verdict {
    let Body::Object(object) = body else {
        let message = format!("status {}, without a reason", answer.status);
        return Verdict::Refused { status: answer.status, calls_invalid: false, message };
    };
    let named = named_in(object, sent.items);
    if !named.is_empty() {
        return Verdict::Named(named);
    }
    let message = object.message().unwrap_or_else(|| format!("status {}, without a reason", answer.status));
    Verdict::Refused { status: answer.status, calls_invalid: object.calls_invalid(), message }
}

fn too_large(body: &Body, sent: Sent<'_>) -> Verdict {
    let limit = match body {
        Body::Object(object) => object.max_bytes().filter(|limit| *limit > 0 && *limit < sent.bytes),
        _ => None,
    };
    Verdict::TooLarge { limit }
}

fn redirected(answer: &Answer) -> Verdict {
    // Pages in front of a network send every caller elsewhere, for now; a backend that moved says "for good".
    let for_now = matches!(answer.status, 302 | 303 | 307);
    match &answer.redirect {
        Some(Redirect::OtherOrigin(_)) if for_now => later(Why::Portal),
        Some(Redirect::OtherOrigin(origin)) => {
            Verdict::Configuration(Why::Moved { origin: Some(origin.clone()) })
        }
        _ => Verdict::Configuration(Why::Moved { origin: None }),
    }
}

fn server_fault(answer: &Answer, body: &Body) -> Verdict {
    // Also where it names a time: gateways put one on every error, and a record may be the cause of each.
    let floor = floor(answer, body);
    Verdict::Later { why: Why::ServerError { status: answer.status }, server_fault: true, floor }
}

fn after(answer: &Answer, body: &Body, why: Why) -> Verdict {
    Verdict::Later { why, floor: floor(answer, body), server_fault: false }
}

fn later(why: Why) -> Verdict {
    Verdict::Later { why, floor: None, server_fault: false }
}

fn not_proof(answer: NotProof) -> Verdict {
    later(Why::NotProof { answer })
}

/// The least time to wait that the backend asked for: the header, in seconds or as a date, else the body.
fn floor(answer: &Answer, body: &Body) -> Option<Duration> {
    let asked = match &answer.retry_after {
        Some(text) => {
            Some(retry_after(text, answer.date.as_deref()).unwrap_or(policy::RETRY_AFTER_UNREADABLE))
        }
        None => body.retry_after(),
    };
    asked.map(|wait| wait.min(policy::RETRY_AFTER_MOST))
}

fn retry_after(text: &str, date: Option<&str>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return crate::body::seconds(seconds);
    }
    // Against the backend's own clock: this machine's may be years off.
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let from = jiff::fmt::rfc2822::parse(date?.trim()).ok()?.timestamp();
    Some(Duration::from_secs(u64::try_from(until.as_second() - from.as_second()).unwrap_or(0)))
}

/// What the answer to a check means.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckVerdict {
    /// Signed in, and a backend that is known.
    Good,
    SignedOut,
    Configuration(Why),
    Later {
        why: Why,
        floor: Option<Duration>,
    },
}

/// Judges the answer to the cheap signed-in request.
pub fn classify_check(reply: &Reply) -> CheckVerdict {
    let nothing = Sent { batch_id: "", items: &[], bytes: 0 };
    if let Ok(answer) = reply
        && answer.status == 200
    {
        return match Body::read(&answer.body) {
            Body::Object(object) if object.is_user() => CheckVerdict::Good,
            Body::Html => CheckVerdict::Later { why: Why::Portal, floor: None },
            Body::Object(_) | Body::NotAnObject => unproved(NotProof::NotAnObject),
            Body::Empty => unproved(NotProof::Empty),
            Body::NotJson => unproved(NotProof::NotJson),
        };
    }
    match classify(reply, nothing) {
        Verdict::SignedOut => CheckVerdict::SignedOut,
        Verdict::Configuration(why) => CheckVerdict::Configuration(why),
        Verdict::Later { why, floor, .. } => CheckVerdict::Later { why, floor },
        _ => {
            let status = reply.as_ref().map_or(0, |answer| answer.status);
            CheckVerdict::Configuration(Why::UnexpectedStatus { status })
        }
    }
}

fn unproved(answer: NotProof) -> CheckVerdict {
    CheckVerdict::Later { why: Why::NotProof { answer }, floor: None }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
