//! Frames as browsers define them: a 32-bit length in native byte order, then that many bytes of UTF-8 JSON.

use heyho_records::fault::planted;
use heyho_records::native::{MAX_FROM_BROWSER, MAX_TO_BROWSER};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much of the pipe is held in memory; more stays in the pipe, and the browser waits.
const HELD_KIB: usize = 64 * 1024;

/// What came out of the pipe.
#[derive(Debug)]
pub enum Inbound {
    Frame {
        bytes: Vec<u8>,
        /// Its share of what may be held in memory.
        held: OwnedSemaphorePermit,
    },
    /// A length over the limit: the stream cannot be trusted any further.
    TooLarge { length: usize },
}

#[derive(Debug)]
pub struct FrameReader<R> {
    pipe: R,
    held: Arc<Semaphore>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub fn new(pipe: R) -> Self {
        FrameReader { pipe, held: Arc::new(Semaphore::new(HELD_KIB)) }
    }

    /// The next frame; `None` at the end of input, also in the middle of a frame: what was not whole was
    /// never acknowledged.
    pub async fn next(&mut self) -> io::Result<Option<Inbound>> {
        let mut length = [0u8; 4];
        if !self.fill(&mut length).await? {
            return Ok(None);
        }
        let length = u32::from_ne_bytes(length) as usize;
        if length > MAX_FROM_BROWSER {
            return Ok(Some(Inbound::TooLarge { length }));
        }
        let kib = u32::try_from(length / 1024 + 1).unwrap_or(u32::MAX);
        let held = self.held.clone().acquire_many_owned(kib).await.map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        if !self.fill(&mut bytes).await? {
            return Ok(None);
        }
        Ok(Some(Inbound::Frame { bytes, held }))
    }

    async fn fill(&mut self, into: &mut [u8]) -> io::Result<bool> {
        if planted("half-a-frame") {
            return Ok(self.pipe.read(into).await? > 0);
        }
        match self.pipe.read_exact(into).await {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Writes one frame. The caller has made sure that it is not over the limit.
pub async fn write<W: AsyncWrite + Unpin>(pipe: &mut W, json: &[u8]) -> io::Result<()> {
    debug_assert!(json.len() <= MAX_TO_BROWSER);
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    pipe.write_all(&length.to_ne_bytes()).await?;
    pipe.write_all(json).await?;
    pipe.flush().await
}
