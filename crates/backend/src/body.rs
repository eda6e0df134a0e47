//! Reading a request's body: never more than the limit, as sent and as inflated, and not for longer than the deadline.
//!
//! Only a few bodies beyond [`LARGE`] are held at once, whatever the number of connections: memory stays bounded, and
//! the batches of companions, which are smaller, never wait for the large ones.

use crate::error::ApiError;
use crate::limits::{LARGE_BODIES_AT_ONCE, LARGE_BODY as LARGE, Limits};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt as _;
use heyho_records::fault::planted;
use serde::de::DeserializeOwned;
use std::io::Read as _;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Inflating more than this is done away from the async threads.
const QUICK: usize = 16 * 1024;

/// A whole body. While it is kept, it counts among the large ones if it is one.
#[derive(Debug)]
pub struct Received {
    pub bytes: Vec<u8>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Received {
    /// Lets the bytes go and stays among the large ones: what was read from them is still held.
    pub fn into_turn(self) -> Option<OwnedSemaphorePermit> {
        self.turn
    }
}

/// Reads bodies within the limits of this server.
#[derive(Debug)]
pub struct Bodies {
    large: Arc<Semaphore>,
    deadline: std::time::Duration,
    max_bytes: usize,
    max_small_bytes: usize,
}

impl Bodies {
    pub fn new(limits: &Limits) -> Bodies {
        Bodies {
            large: Arc::new(Semaphore::new(LARGE_BODIES_AT_ONCE)),
            deadline: limits.body_deadline,
            max_bytes: limits.max_body_bytes,
            max_small_bytes: limits.max_small_body_bytes,
        }
    }

    /// A body of records, inflated if it was sent with gzip.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Received, ApiError> {
        self.within(headers, body, self.max_bytes).await
    }

    /// A small JSON body.
    pub async fn json<T: DeserializeOwned>(&self, headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
        let received = self.within(headers, body, self.max_small_bytes).await?;
        serde_json::from_slice(&received.bytes).map_err(|e| ApiError::InvalidJson(e.to_string()))
    }

    async fn within(&self, headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Received, ApiError> {
        let gzip = encoding(headers)?;
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > max_bytes) {
            return Err(ApiError::PayloadTooLarge { max_bytes });
        }
        let reading = async {
            let received = self.collect(body, max_bytes).await?;
            if gzip { self.inflate(received, max_bytes).await } else { Ok(received) }
        };
        tokio::time::timeout(self.deadline, reading).await.map_err(|_| ApiError::BodyTooSlow)?
    }

    async fn collect(&self, body: Body, max_bytes: usize) -> Result<Received, ApiError> {
        let mut received = Received { bytes: Vec::new(), turn: None };
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| ApiError::InvalidJson(format!("the body broke off: {e}")))?;
            let length = received.bytes.len() + chunk.len();
            if length > max_bytes {
                return Err(ApiError::PayloadTooLarge { max_bytes });
            }
            if length > LARGE && received.turn.is_none() {
                received.turn = Some(self.turn().await?);
            }
            received.bytes.extend_from_slice(&chunk);
        }
        Ok(received)
    }

    async fn inflate(&self, mut received: Received, max_bytes: usize) -> Result<Received, ApiError> {
        let small = max_bytes.min(LARGE);
        let first = match received.bytes.len() {
            ..QUICK => inflate(&received.bytes, small),
            _ => {
                let (bytes, first) = blocking(move || {
                    let first = inflate(&received.bytes, small);
                    (received.bytes, first)
                })
                .await?;
                received.bytes = bytes;
                first
            }
        };
        match first {
            Err(ApiError::PayloadTooLarge { .. }) if small < max_bytes => {
                let turn = match received.turn {
                    Some(turn) => turn,
                    None => self.turn().await?,
                };
                let bytes = blocking(move || inflate(&received.bytes, max_bytes)).await??;
                Ok(Received { bytes, turn: Some(turn) })
            }
            Err(ApiError::PayloadTooLarge { .. }) => Err(ApiError::PayloadTooLarge { max_bytes }),
            Err(other) => Err(other),
            Ok(bytes) => Ok(Received { bytes, turn: received.turn }),
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.large.clone().acquire_owned().await.map_err(|e| ApiError::Internal(e.into()))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::Internal(e.into()))
}

fn encoding(headers: &HeaderMap) -> Result<bool, ApiError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        other => Err(ApiError::UnsupportedEncoding(other.chars().take(40).collect())),
    }
}

fn inflate(bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let mut inflated = Vec::new();
    let max_bytes = if planted("no-decoded-limit") { usize::MAX } else { max_bytes };
    let one_more = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes)
        .take(one_more)
        .read_to_end(&mut inflated)
        .map_err(|e| ApiError::InvalidJson(format!("it says it is gzip but cannot be inflated: {e}")))?;
    if inflated.len() > max_bytes {
        return Err(ApiError::PayloadTooLarge { max_bytes });
    }
    Ok(inflated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bodies(max_body_bytes: usize) -> Bodies {
        Bodies::new(&Limits { max_body_bytes, ..Limits::default() })
    }

    async fn read_gzip(bytes: Vec<u8>, max: usize) -> Result<Vec<u8>, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        bodies(max).read(&headers, Body::from(bytes)).await.map(|received| received.bytes)
    }

    #[tokio::test]
    async fn a_body_that_inflates_beyond_the_limit_is_refused_before_it_is_whole() {
        assert_eq!(read_gzip(gzip(b"{}"), 100).await.unwrap(), b"{}");
        let bomb = gzip(&vec![b' '; 8 * 1024 * 1024]);
        assert!(bomb.len() < 16 * 1024);
        for max in [1_000, LARGE, 2 * LARGE] {
            let error = read_gzip(bomb.clone(), max).await.unwrap_err();
            assert!(matches!(error, ApiError::PayloadTooLarge { max_bytes } if max_bytes == max), "{error}");
        }
        assert_eq!(read_gzip(bomb, 8 * 1024 * 1024).await.unwrap().len(), 8 * 1024 * 1024);
    }

    #[tokio::test]
    async fn large_bodies_take_turns_and_small_ones_do_not() {
        let bodies = bodies(2 * LARGE);
        let headers = HeaderMap::new();
        let read = |length: usize| bodies.read(&headers, Body::from(vec![b' '; length])).boxed();
        let mut held = Vec::new();
        for _ in 0..LARGE_BODIES_AT_ONCE {
            held.push(read(LARGE + 1).await.unwrap());
        }
        let mut waiting = read(LARGE + 1);
        assert!((&mut waiting).now_or_never().is_none());
        assert!(read(LARGE).now_or_never().is_some());
        held.pop();
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_gzip_is_named_and_other_encodings_are_refused() {
        assert_eq!(read_gzip(b"{}".to_vec(), 100).await.unwrap_err().code(), "INVALID_JSON");
        let cut = gzip(&[b'x'; 1_000]);
        assert_eq!(
            read_gzip(cut[..cut.len() / 2].to_vec(), 10_000).await.unwrap_err().code(),
            "INVALID_JSON"
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "br".parse().unwrap());
        assert_eq!(
            bodies(10).read(&headers, Body::empty()).await.unwrap_err().code(),
            "UNSUPPORTED_ENCODING"
        );
    }
}
