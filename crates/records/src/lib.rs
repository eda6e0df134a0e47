//! What HeyHo Companion carries, and the words its programs share.
//!
//! No I/O, no clock, no randomness: everything here is a function of its arguments, so that the host, the
//! agent and the backend judge one record alike.
//!
//! - [`alert`]: what a person should be told once;
//! - [`base_url`]: which backend addresses are accepted;
//! - [`fault`]: faults planted on purpose, for tests of tests;
//! - [`json`]: a JSON tree that keeps every number as its text;
//! - [`record`]: reading one record: what is accepted, what is changed, what is known of it;
//! - [`complete`]: which of two versions of one record says more;
//! - [`glance`]: what a list shows of a record;
//! - [`reason`]: why a record is among the failed, as a typed value that is stored;
//! - [`rules`]: what the user wants kept nowhere;
//! - [`native`]: the frames between extension and host;
//! - [`status`]: the object of `heyho status --json`;
//! - [`words`]: numbers, plurals, times and sizes in English.

pub mod alert;
pub mod base_url;
pub mod complete;
pub mod fault;
pub mod glance;
pub mod json;
pub mod kind;
pub mod native;
pub mod reason;
pub mod record;
pub mod rules;
pub mod status;
pub mod time;
pub mod words;

pub use kind::Kind;
pub use record::{Code, Record, Rejection};
