//! Every limit and interval of the backend, each with its reason. Nothing else in the crate holds such a number.

use crate::clock::{DAY, MINUTE, Millis, SECOND};
use std::time::Duration;

/// Records of one kind in one request: the contract's number, told in `/capabilities`.
pub const MAX_RECORDS: usize = 1_000;

/// An access token is checked against its session at every request, so its life only bounds what a copied signing
/// secret is worth. The contract says 900 s.
pub const ACCESS_TOKEN_LIFE: Millis = 15 * MINUTE;

/// A companion that was not started for this long asks for the password again.
pub const REFRESH_TOKEN_LIFE: Millis = 90 * DAY;

/// A refresh whose answer was lost may be repeated for this long and gets the same successor (contract).
pub const REFRESH_GRACE: Millis = 30 * SECOND;

/// How long a 200 is kept to be replayed (contract).
pub const IDEMPOTENCY_LIFE: Millis = 24 * 60 * MINUTE;

/// The longest idempotency key and device id: room for any UUID or hash, none for abuse.
pub const MAX_KEY_CHARS: usize = 255;
pub const MAX_DEVICE_CHARS: usize = 128;

/// The longest source: an extension's origin and a profile id. It is part of an index key.
pub const MAX_SOURCE_CHARS: usize = 512;

/// RFC 5321 allows an address of 254.
pub const MAX_EMAIL_CHARS: usize = 254;
pub const MIN_PASSWORD_CHARS: usize = 8;
/// Argon2 reads all of it; nobody types more.
pub const MAX_PASSWORD_CHARS: usize = 1_024;
pub const MAX_NAME_CHARS: usize = 200;

/// Rows of `browsing_data` in one answer.
pub const DEFAULT_PAGE: i64 = 500;
pub const MAX_PAGE: i64 = 1_000;

/// What an operator or a test may choose differently.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body, as sent and as inflated. 1,000 records with 50 KB of metadata each fit; a batch of the
    /// companion has 0.5 MB.
    pub max_body_bytes: usize,
    /// Largest body of every route that takes no records.
    pub max_small_body_bytes: usize,
    /// A request whose twin is still at work waits this long for its answer, then hears 409.
    pub twin_wait: Duration,
    /// Connections of one node to PostgreSQL: its default of 100 serves five nodes.
    pub postgres_connections: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_body_bytes: 64 * 1024 * 1024,
            max_small_body_bytes: 64 * 1024,
            twin_wait: Duration::from_secs(5),
            postgres_connections: 16,
        }
    }
}
