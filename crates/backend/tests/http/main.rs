//! The backend over real HTTP against a real database: what the contract promises, seen from outside.
//!
//! Each test takes a running server and runs on every store: see `support::on_each_store`.

#![cfg_attr(test, expect(clippy::print_stdout, reason = "the figures of a run"))]

#[cfg(test)]
mod account;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod authorisation;
#[cfg(test)]
mod browse;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod email;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod order;
#[cfg(test)]
#[path = "../support/postgres.rs"]
mod postgres;
#[cfg(test)]
mod protection;
#[cfg(test)]
mod slow;
#[cfg(test)]
#[path = "../support/smtp.rs"]
mod smtp;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sync;
