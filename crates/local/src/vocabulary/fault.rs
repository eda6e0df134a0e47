//! Why a request was not carried out: a code that programs branch on, and a sentence for people.

use serde::{Deserialize, Serialize};

/// Why a request was not carried out. Each maps to one exit status of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    Failed,
    UnknownCommand,
    Usage,
    BadData,
    NotFound,
    /// The backend has no such thing, or not for a program.
    NotOffered,
    BackendUnreachable,
    TryLater,
    /// Somebody else is at the store: nothing was changed, and nothing is tried again by itself.
    Busy,
    /// Something is being erased for good and was cut short: it is finished by itself, and nothing is sent until then.
    Begun,
    /// Of chosen records some are deleted, and the others are not.
    Partly,
    SignInNeeded,
    WrongCredentials,
    EmailTaken,
    /// Whoever runs the backend makes its accounts.
    RegistrationClosed,
    /// The account is there, but its e-mail address has to be confirmed first (`verify`).
    Unverified,
    Configuration,
    NoWindow,
    AgentNotRunning,
}

impl FaultCode {
    /// The exit status of the contract, section 4.
    pub fn exit_status(self) -> u8 {
        match self {
            FaultCode::Failed
            | FaultCode::NotFound
            | FaultCode::NotOffered
            | FaultCode::Partly
            | FaultCode::NoWindow => 1,
            FaultCode::UnknownCommand | FaultCode::Usage => 64,
            FaultCode::BadData => 65,
            FaultCode::BackendUnreachable | FaultCode::AgentNotRunning => 69,
            FaultCode::TryLater | FaultCode::Busy | FaultCode::Begun => 75,
            FaultCode::SignInNeeded
            | FaultCode::WrongCredentials
            | FaultCode::EmailTaken
            | FaultCode::RegistrationClosed
            | FaultCode::Unverified => 77,
            FaultCode::Configuration => 78,
        }
    }
}

/// A fault with one plain sentence: what happened, what is safe, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[error("{text}")]
pub struct Fault {
    pub code: FaultCode,
    pub text: String,
}

impl Fault {
    pub fn new(code: FaultCode, text: impl Into<String>) -> Fault {
        Fault { code, text: text.into() }
    }
}
