//! What is left of a body when its request is refused is read to its end, within bounds, before the answer goes out.
//!
//! Else the connection would be closed upon a client that is still sending; on some systems that client then hears of a
//! broken connection instead of its answer ("unreachable" instead of "sign in again").

use crate::limits::{DRAIN_BYTES, DRAIN_TIME};
use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::{Stream, StreamExt as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// A body that outlives whoever reads it.
#[derive(Clone)]
pub struct Rest(Arc<Mutex<BodyDataStream>>);

impl Rest {
    /// The body for the handler, and what is left of it afterwards.
    pub fn of(body: Body) -> (Body, Rest) {
        let rest = Rest(Arc::new(Mutex::new(body.into_data_stream())));
        (Body::from_stream(rest.clone()), rest)
    }

    pub async fn drain(mut self) {
        let reading = async {
            let mut left = DRAIN_BYTES;
            while let Some(Ok(chunk)) = self.next().await {
                match left.checked_sub(chunk.len()) {
                    Some(less) => left = less,
                    None => break,
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
    }
}

impl Stream for Rest {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}
