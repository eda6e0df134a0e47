//! Why a record is among the failed: typed, stored as JSON, shown as a sentence.
//!
//! Stored values are read by later versions: variants and fields are added, never renamed.

use crate::record::Code;
use serde::{Deserialize, Serialize};

/// The reason a record was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// The record broke a rule of the companion when it arrived.
    RejectedAtCapture { rule: Code, message: String },
    /// The backend named the record as invalid.
    RejectedByBackend {
        field: Option<String>,
        message: String,
        #[serde(default)]
        status: Option<u16>,
    },
    /// Alone it is larger than what one request may carry.
    TooLarge {
        #[cfg_attr(feature = "ts", ts(type = "number"))]
        bytes: u64,
        #[cfg_attr(feature = "ts", ts(type = "number"))]
        limit: u64,
    },
    /// The backend's answers never accounted for it.
    NotConfirmed { attempts: u32 },
    /// What is stored no longer has the checksum it was stored with.
    Damaged { message: String },
}

impl Reason {
    /// The stable word for filters, exports and scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::RejectedAtCapture { .. } => "rejected_at_capture",
            Reason::RejectedByBackend { .. } => "rejected_by_backend",
            Reason::TooLarge { .. } => "too_large",
            Reason::NotConfirmed { .. } => "not_confirmed",
            Reason::Damaged { .. } => "damaged",
        }
    }

    /// One plain sentence for people.
    pub fn text(&self) -> String {
        match self {
            Reason::RejectedAtCapture { message, .. } => {
                format!("The record could not be accepted: {message}")
            }
            Reason::RejectedByBackend { field: Some(field), message, .. } => {
                format!("The backend refused it: {message} (field {field})")
            }
            Reason::RejectedByBackend { field: None, message, .. } => {
                format!("The backend refused it: {message}")
            }
            Reason::TooLarge { bytes, limit } => {
                format!("It is too large to send: {bytes} bytes, and one request may carry {limit}")
            }
            Reason::NotConfirmed { attempts } => {
                format!("The backend did not confirm it, in {attempts} attempts")
            }
            Reason::Damaged { message } => format!("Its stored copy is damaged: {message}"),
        }
    }
}
