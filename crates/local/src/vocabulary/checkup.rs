//! What `heyho doctor` finds, and what only the agent can look at.

use serde::{Deserialize, Serialize};

/// One part, how it stands, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Finding {
    pub part: String,
    pub good: bool,
    pub text: String,
    pub advice: Option<String>,
}

impl Finding {
    pub fn good(part: &str, text: impl Into<String>) -> Finding {
        Finding { part: part.to_owned(), good: true, text: text.into(), advice: None }
    }

    pub fn bad(part: &str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { part: part.to_owned(), good: false, text: text.into(), advice: Some(advice.into()) }
    }
}
