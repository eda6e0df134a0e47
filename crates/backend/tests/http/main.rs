//! The backend over real HTTP against a real database: what the contract promises, seen from outside.
//!
//! Each test takes a running server and runs on every store: see [`support::on_each_store`].

mod auth;
mod browse;
mod idempotency;
#[path = "../support/postgres.rs"]
mod postgres;
mod support;
mod sync;
