//! Why a run ended, or what is in its way: the one place where a reason becomes a word, a state and a
//! sentence. The words are stable (history, `--json`), the sentences are English and may be translated here.

use crate::answer::TransportError;
use heyho_records::Kind;
use serde::{Deserialize, Serialize};

/// What a reason means for the state that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// All is well.
    Good,
    /// Ended on request; nothing is wrong.
    Stopped,
    /// It is tried again by itself.
    Retrying,
    /// Somebody has to do something; it is still tried at the usual interval.
    NeedsAttention,
    /// The user has to sign in.
    SessionExpired,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Why {
    /// Everything that waited was confirmed, or set aside with its reason.
    Emptied,
    /// Nothing waited, and a signed-in request was answered.
    NothingToSend,
    /// What could go was confirmed. The rest goes after pages that opened it, which are held back.
    LeftBehind,
    Stopped {
        by: Stop,
    },
    SessionExpired,
    /// Nobody answered.
    NoAnswer {
        error: TransportError,
    },
    ServerError {
        status: u16,
    },
    RateLimited,
    /// The backend is still at work on the same batch.
    StillWorking,
    /// Another run was asked for before the time the backend named.
    AskedToWait,
    /// Not worth another request so soon after a failure.
    NotYet,
    /// A page to sign in to the network stands in the way.
    Portal,
    /// An answer that proves nothing.
    NotProof {
        answer: NotProof,
    },
    /// 403.
    Forbidden,
    /// 404 or 410.
    NotFound,
    /// 405 or 501.
    MethodNotAllowed,
    /// 426.
    UpgradeRequired,
    /// 407.
    ProxySignIn,
    Moved {
        origin: Option<String>,
    },
    /// Any other status nobody expects.
    UnexpectedStatus {
        status: u16,
    },
    /// Single records from different places were all refused.
    /// With a kind: of that kind, while others are accepted.
    RefusesEverything {
        status: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<Kind>,
    },
    /// The backend takes records of this kind and never accounts for one.
    ConfirmsNone {
        kind: Kind,
    },
    /// An outcome that answers no task: a fault of this program.
    Internal,
}

/// Who ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The user pressed Stop, or the program ends.
    Asked,
    Paused,
    SignedOut,
    /// Another account is signed in now.
    AccountChanged,
    /// Records go to another backend now.
    SettingsChanged,
    /// Records of the batch in flight were deleted here.
    Erased,
    /// The buffer cannot be read or written.
    BufferProblem,
    /// Another program writes to the buffer and keeps it locked.
    BufferBusy,
}

/// What an answer was that should have been a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotProof {
    Empty,
    /// Not JSON, or JSON that was cut.
    NotJson,
    NotAnObject,
    /// `success` is not true, or there is an `error`.
    SaysNo,
    /// It speaks of another batch.
    OtherBatch,
    /// A success other than 200.
    OtherStatus(u16),
}

impl Why {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Why::Emptied => "emptied",
            Why::NothingToSend => "nothing_to_send",
            Why::LeftBehind => "left_behind",
            Why::Stopped { .. } => "stopped",
            Why::SessionExpired => "session_expired",
            Why::NoAnswer { .. } => "no_answer",
            Why::ServerError { .. } => "server_error",
            Why::RateLimited => "rate_limited",
            Why::StillWorking => "still_working",
            Why::AskedToWait => "asked_to_wait",
            Why::NotYet => "not_yet",
            Why::Portal => "portal",
            Why::NotProof { .. } => "not_proof",
            Why::Forbidden => "forbidden",
            Why::NotFound => "not_found",
            Why::MethodNotAllowed => "method_not_allowed",
            Why::UpgradeRequired => "upgrade_required",
            Why::ProxySignIn => "proxy_sign_in",
            Why::Moved { .. } => "moved",
            Why::UnexpectedStatus { .. } => "unexpected_status",
            Why::RefusesEverything { .. } => "refuses_everything",
            Why::ConfirmsNone { .. } => "confirms_none",
            Why::Internal => "internal",
        }
    }

    pub fn outlook(&self) -> Outlook {
        match self {
            Why::Emptied | Why::NothingToSend | Why::LeftBehind => Outlook::Good,
            Why::Stopped { by: Stop::BufferProblem } => Outlook::NeedsAttention,
            Why::Stopped { by: Stop::BufferBusy } => Outlook::Retrying,
            Why::Stopped { .. } => Outlook::Stopped,
            Why::SessionExpired => Outlook::SessionExpired,
            // A certificate does not mend itself, and a mistyped address neither; but a clock is set right, a
            // network changes, so it is tried again like any other failure.
            Why::NoAnswer { error: TransportError::Tls { .. } } => Outlook::NeedsAttention,
            Why::NoAnswer { .. }
            | Why::ServerError { .. }
            | Why::RateLimited
            | Why::StillWorking
            | Why::AskedToWait
            | Why::NotYet
            | Why::Portal
            | Why::NotProof { .. } => Outlook::Retrying,
            Why::Forbidden
            | Why::NotFound
            | Why::MethodNotAllowed
            | Why::UpgradeRequired
            | Why::ProxySignIn
            | Why::Moved { .. }
            | Why::UnexpectedStatus { .. }
            | Why::RefusesEverything { .. }
            | Why::ConfirmsNone { .. }
            | Why::Internal => Outlook::NeedsAttention,
        }
    }

    /// One plain sentence: what is so. Nothing was deleted in any of these cases, and every sentence may be
    /// followed by when it is tried again.
    pub fn sentence(&self) -> String {
        let fixed = match self {
            Why::Emptied => "Everything that waited was delivered.",
            Why::NothingToSend => "Nothing waits to be sent, and the backend answers.",
            Why::LeftBehind => {
                "What could go was delivered. The rest waits for the pages that opened it, which are held back."
            }
            Why::Stopped { by } => by.sentence(),
            Why::SessionExpired => "The session has ended: sign in again to go on sending.",
            Why::NoAnswer { error } => return format!("{error}."),
            Why::ServerError { status } => {
                return format!(
                    "The backend has a fault of its own (status {status}). Your records are kept."
                );
            }
            Why::RateLimited => "The backend asks for fewer requests for a while.",
            Why::StillWorking => "The backend is still at work on what was sent last.",
            Why::AskedToWait => "The backend asked to be left alone until then.",
            Why::NotYet => "The last attempt failed a moment ago; the next one is due soon.",
            Why::Portal => {
                "A web page answered instead of the backend: this network may want a sign-in of its own (as in hotels and cafés), or the backend's address is wrong. Nothing counts as delivered."
            }
            Why::NotProof { answer } => return answer.sentence(),
            Why::Forbidden => "The backend does not let this account send records (403).",
            Why::NotFound => "There is no HeyHo backend at this address (404): check the backend's address.",
            Why::MethodNotAllowed => "The program at the backend's address does not take records (405).",
            Why::UpgradeRequired => "The backend wants a newer version of HeyHo Companion (426).",
            Why::ProxySignIn => "The proxy wants a sign-in (407): check the setting backend.proxy.",
            Why::Moved { origin: Some(origin) } => {
                return format!("The backend says it has moved to {origin}: check the backend's address.");
            }
            Why::Moved { origin: None } => {
                "The backend answers with a redirect, which is not followed: check the backend's address."
            }
            Why::UnexpectedStatus { status } => {
                return format!(
                    "The backend answered with status {status}, which no HeyHo backend uses here."
                );
            }
            Why::RefusesEverything { status, kind } => {
                let what = match kind {
                    None => "everything it is sent",
                    Some(Kind::PageVisit) => "all page visits",
                    Some(Kind::TabAggregate) => "all tab times",
                };
                return format!(
                    "The backend refuses {what} (status {status}). What waits is kept: it is likely good."
                );
            }
            Why::ConfirmsNone { kind: Kind::PageVisit } => {
                "The backend takes page visits and confirms none of them. They are kept."
            }
            Why::ConfirmsNone { kind: Kind::TabAggregate } => {
                "The backend takes tab times and confirms none of them. They are kept."
            }
            Why::Internal => "HeyHo Companion lost track of this run. Nothing was deleted.",
        };
        fixed.to_owned()
    }
}

impl Stop {
    fn sentence(self) -> &'static str {
        match self {
            Stop::Asked => "Stopped as asked.",
            Stop::Paused => "Sending is paused.",
            Stop::SignedOut => "Nobody is signed in.",
            Stop::AccountChanged => "Another account was signed in meanwhile.",
            Stop::SettingsChanged => "The backend's address was changed meanwhile.",
            Stop::Erased => "Records were deleted here meanwhile. What is left is sent in the next run.",
            Stop::BufferBusy => "The local store of records is in use by another program just now.",
            Stop::BufferProblem => "The local store of records cannot be used.",
        }
    }
}

impl NotProof {
    fn sentence(self) -> String {
        let fixed = match self {
            NotProof::Empty => "The backend's answer was empty. Nothing counts as delivered.",
            NotProof::NotJson => "The backend's answer could not be read. Nothing counts as delivered.",
            NotProof::NotAnObject => {
                "The backend's answer was not in the expected form. Nothing counts as delivered."
            }
            NotProof::SaysNo => "The backend answered, and did not say that it saved the records.",
            NotProof::OtherBatch => "The answer belongs to another request. Nothing counts as delivered.",
            NotProof::OtherStatus(status) => {
                return format!("The backend answered with status {status}, which confirms nothing.");
            }
        };
        fixed.to_owned()
    }
}
