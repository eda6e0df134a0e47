//! Reading a request's body: never more than the limit, as sent and as inflated.

use crate::error::ApiError;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use std::io::Read as _;

/// Inflating more than this is done away from the async threads.
const QUICK: usize = 16 * 1024;

/// The body, inflated if it was sent with gzip.
pub async fn read(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let gzip = encoding(headers)?;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > max_bytes) {
        return Err(ApiError::PayloadTooLarge { max_bytes });
    }
    let mut bytes = Vec::with_capacity(declared.unwrap_or(0).min(1024 * 1024));
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| ApiError::InvalidJson(format!("the body broke off: {e}")))?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(ApiError::PayloadTooLarge { max_bytes });
        }
        bytes.extend_from_slice(&chunk);
    }
    match (gzip, bytes.len()) {
        (false, _) => Ok(bytes),
        (true, ..QUICK) => inflate(&bytes, max_bytes),
        (true, _) => tokio::task::spawn_blocking(move || inflate(&bytes, max_bytes))
            .await
            .map_err(|e| ApiError::Internal(e.into()))?,
    }
}

/// A small JSON body.
pub async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<T, ApiError> {
    let bytes = read(headers, body, max_bytes).await?;
    serde_json::from_slice(&bytes).map_err(|e| ApiError::InvalidJson(e.to_string()))
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
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn read_gzip(bytes: Vec<u8>, max: usize) -> Result<Vec<u8>, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        read(&headers, Body::from(bytes), max).await
    }

    #[tokio::test]
    async fn a_body_that_inflates_beyond_the_limit_is_refused_before_it_is_whole() {
        assert_eq!(read_gzip(gzip(b"{}"), 100).await.unwrap(), b"{}");
        let bomb = gzip(&vec![b' '; 8 * 1024 * 1024]);
        assert!(bomb.len() < 16 * 1024);
        assert_eq!(read_gzip(bomb, 1024 * 1024).await.unwrap_err().code(), "PAYLOAD_TOO_LARGE");
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
        assert_eq!(read(&headers, Body::empty(), 10).await.unwrap_err().code(), "UNSUPPORTED_ENCODING");
    }
}
