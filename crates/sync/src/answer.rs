//! What came back from one request: an answer, or the reason there is none. Both are plain values, so that
//! judging them needs no network.

use serde::{Deserialize, Serialize};

/// An answer as it was received, its body cut off at [`crate::policy::ANSWER_BYTES`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    /// The headers `Retry-After` and `Date`, as they stood. The second makes sense of a date in the first
    /// without trusting the clock of this machine.
    pub retry_after: Option<String>,
    pub date: Option<String>,
    pub redirect: Option<Redirect>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    /// Bodies hold tokens and addresses of pages: only their length is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("retry_after", &self.retry_after)
            .field("redirect", &self.redirect)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Where a 3xx points. It is never followed: a token must not travel to another origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    SameOrigin,
    /// Scheme, host and port, without the path.
    OtherOrigin(String),
    Unreadable,
}

/// Why there is no answer. It never counts against a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum TransportError {
    #[error("The name of the backend cannot be found: no network, or a mistyped address")]
    Dns,
    #[error("Nothing listens at the backend's address: it is not running, or the port is wrong")]
    Refused,
    #[error("The backend cannot be reached from this network")]
    Unreachable,
    #[error("The backend took too long to accept the connection")]
    ConnectTimeout,
    #[error("The backend took too long to answer")]
    AnswerTimeout,
    #[error("The connection broke before the answer was complete")]
    ConnectionLost,
    #[error("The answer was longer than any answer of a backend and was cut off")]
    BodyTooLarge,
    #[error("{problem}")]
    Tls { problem: TlsProblem },
    #[error("The proxy did not let the request through")]
    Proxy,
    #[error("The request could not be made")]
    Request,
}

/// What was wrong with an encrypted connection, in words a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum TlsProblem {
    #[error("The backend's certificate has expired")]
    Expired,
    #[error("The backend's certificate is not valid yet (is the date of this computer right?)")]
    NotYetValid,
    #[error(
        "The backend's certificate was issued by an authority this computer does not know (backend.ca_file names one)"
    )]
    UnknownIssuer,
    #[error("The backend's certificate is for another host name")]
    WrongHost,
    #[error("The backend's certificate was revoked")]
    Revoked,
    #[error("The backend's certificate cannot be read")]
    BadCertificate,
    #[error("The backend does not speak TLS at this address (is it http instead of https?)")]
    NotTls,
    #[error("The backend and this computer share no version of TLS")]
    NoCommonVersion,
    #[error("The encrypted connection could not be set up")]
    Handshake,
}

/// What the driver hands back for one request.
pub type Reply = Result<Answer, TransportError>;
