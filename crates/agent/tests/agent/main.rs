//! The agent on a real buffer, against a backend over real HTTP whose behaviour is scripted.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it needs by failing, and its figures"
)]

mod backend;
mod basics;
mod dying;
mod faults;
mod half_forgotten;
mod places;
mod schedule;
mod session;
mod starts;
mod switching;
mod telling;
mod vocabulary;
mod waits;
mod world;
