//! The durable buffer: one SQLite file, many writing processes, nothing acknowledged before it is committed.
//!
//! Invariants (docs/buffer.md has them with the schema and the recovery procedure):
//! 1. Every acknowledged record is a row of `record`, waiting or set aside, until it is confirmed by the
//!    backend or discarded by the user. A row leaves by (seq, revision) only: a record that changed while its
//!    older version was in flight stays.
//! 2. A write is one `BEGIN IMMEDIATE` transaction with `synchronous=FULL`; readers end before any network.
//! 3. A row's account is decided when it is inserted and never by arriving again.
//! 4. Counts come from `counter`, which triggers keep: no query on the way of a record grows with the backlog. Failed
//!    records are counted by reason when somebody looks at them, and each start reads every text once (`salvage`).
//! 5. No clock here: every function that needs the time is given it.

mod accounts;
mod anchor;
mod append;
mod batch;
mod copies;
mod decide;
mod erase;
mod error;
mod export;
mod failed;
mod forget;
mod growth;
mod held;
mod import;
mod known;
mod late;
mod lock;
mod open;
mod owed;
mod queue;
mod recover;
mod rejected;
mod remembered;
mod rows;
mod salvage;
mod series;
mod site;
mod sources;
mod stats;
mod status;
mod tabs;
mod traces;
mod unfinished;
mod waiting;
mod watch;

#[cfg(test)]
mod steps_tests;

pub use accounts::{Account, AccountId, BLAMED, SignedIn};
pub use anchor::Anchor;
pub use append::{Appended, Arrival, Source, profile_id};
pub use batch::{Batch, BatchItem, Fate, NewBatch, Settlement};
pub use erase::Erased;
pub use error::{BufferError, Result};
pub use export::{ExportLine, Reader};
pub use failed::{Failed, FailedQuery};
pub use growth::{LOG_ALARM, Tidied};
pub use import::{ImportLine, Imported};
pub use late::Late;
pub use open::{Buffer, check_sqlite};
pub use queue::{Limits, Waiting};
pub use recover::Recovery;
pub use series::Point;
pub use stats::{Counts, Other, RunRecord, SourceSeen, Totals};
pub use status::{Known, LAST_ANSWERED, LAST_CONFIRMED, PAUSED_UNTIL};
pub use unfinished::Asked;
pub use waiting::{WaitingPage, WaitingRow};
pub use watch::Watch;

/// How long the digest of a confirmed record is remembered.
pub const DELIVERED_FOR_MS: i64 = 7 * 24 * 3_600_000;
/// How long it is remembered which visit a tab was on.
pub const TAB_VISIT_FOR_MS: i64 = 30 * 24 * 3_600_000;

/// States, as the table `state` has them.
pub(crate) mod state {
    pub const WAITING: i64 = 1;
    pub const FAILED: i64 = 2;
    pub const FAILED_KEPT: i64 = 3;
}
