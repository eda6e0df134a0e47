//! The driver on real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod driver;
mod secrets;
mod server;
mod tls;
mod whole;
