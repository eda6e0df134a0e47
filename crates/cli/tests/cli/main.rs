//! The command line as a user or a script types it: the real program, a real agent, a real backend. What it says
//! is kept beside the tests (`snapshots/`), with times, ids and places taken out.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod accounts;
mod agentless;
mod browsers;
mod busy;
mod keeping;
mod mistakes;
mod pages;
mod settings;
mod terminal;
mod whole;
mod world;
