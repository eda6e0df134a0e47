//! Answers with records in them, which are held until their clients took them: a user has so many at once.
//!
//! The turn goes with the bytes and not with the body: the server lets go of a body when it has its last piece, and the
//! client may take that for minutes.

use axum::body::Bytes;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Shared by the pieces of one answer.
pub type Turn = Arc<OwnedSemaphorePermit>;

struct Held {
    bytes: Vec<u8>,
    _turn: Turn,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that keep the turn until they are gone.
pub fn held(bytes: Vec<u8>, turn: Turn) -> Bytes {
    Bytes::from_owner(Held { bytes, _turn: turn })
}
