//! The driver on real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod driver;
mod erasing;
mod secrets;
mod server;
mod slow;
mod tls;
mod whole;
