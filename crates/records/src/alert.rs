//! What a person should be told once, wherever they are: a notification, not a line in a window.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    /// More than one run in twenty failed. `failed`, `runs`
    FailureRate,
    /// More than a hundred records wait, and that for over an hour. `waiting`, `minutes`
    Backlog,
    /// Records wait for over a day. `waiting`, `hours`
    BacklogDay,
    /// Sign in again. `waiting`
    SessionExpired,
    /// Records could not be delivered, and the user has not chosen to keep them quietly. `failed`
    FailedRecords,
    /// Nothing can be stored any more. `waiting`
    DiskFull,
}
