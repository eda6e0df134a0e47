//! The kinds of record. Stored as small integers that never change meaning.

use serde::{Deserialize, Serialize};

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export, rename_all = "camelCase"))]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    PageVisit,
    TabAggregate,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::PageVisit, Kind::TabAggregate];

    /// The number in the `kind` tables of the buffer and the backend.
    pub fn number(self) -> i64 {
        match self {
            Kind::PageVisit => 1,
            Kind::TabAggregate => 2,
        }
    }

    pub fn from_number(n: i64) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.number() == n)
    }

    /// The name in frames, exports and error texts.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PageVisit => "pageVisit",
            Kind::TabAggregate => "tabAggregate",
        }
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
