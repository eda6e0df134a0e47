//! A connection whose client has to take its answers: one that reads slower than [`SLOWEST_READER`] is closed once it
//! has kept the server waiting for the answer deadline.
//!
//! Waiting is measured only while a write is held up. Bytes the client takes pay for waiting at that rate, and nothing
//! is saved up, so a fast start buys no time. What the system itself holds for the client is bounded by
//! [`SEND_BUFFER`]: see `serving`.
//!
//! [`SEND_BUFFER`]: crate::limits::SEND_BUFFER

use crate::connections::{Connections, Open};
use crate::limits::SLOWEST_READER;
use axum_server::accept::Accept;
use std::future::Ready;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client may still keep the server waiting.
#[derive(Debug)]
struct Patience {
    all: Duration,
    waited: Duration,
    held_up_since: Option<Instant>,
}

impl Patience {
    fn new(all: Duration) -> Patience {
        Patience { all, waited: Duration::ZERO, held_up_since: None }
    }

    /// A write is held up: when it will have been for too long.
    fn ends(&mut self, now: Instant) -> Instant {
        let since = *self.held_up_since.get_or_insert(now);
        since + self.all.saturating_sub(self.waited)
    }

    /// The client took bytes.
    fn took(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.held_up_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.waited = self.waited.saturating_sub(Duration::from_secs_f64(bytes as f64 / SLOWEST_READER));
    }
}

#[derive(Debug)]
pub struct Paced {
    inner: TcpStream,
    patience: Patience,
    /// Made when a write is first held up: most connections never need it.
    alarm: Option<Pin<Box<Sleep>>>,
    _open: Open,
}

impl Paced {
    fn new(inner: TcpStream, patience: Duration, open: Open) -> Paced {
        Paced { inner, patience: Patience::new(patience), alarm: None, _open: open }
    }

    /// What a write came to, or the end of patience.
    fn judge(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.patience.took(bytes, now);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let ends = self.patience.ends(now);
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(ends)));
                if alarm.deadline() != ends {
                    alarm.as_mut().reset(ends);
                }
                ready!(alarm.as_mut().poll(cx));
                // what the system still holds for the client goes too
                self.inner.set_zero_linger()?;
                let late = "the client does not take its answer";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, late)))
            }
        }
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

/// Makes each accepted connection a paced one, as many as there may be.
#[derive(Debug, Clone)]
pub struct Pace {
    patience: Duration,
    connections: Arc<Connections>,
}

impl Pace {
    pub fn new(patience: Duration, connections: Connections) -> Pace {
        Pace { patience, connections: Arc::new(connections) }
    }

    fn paced(&self, stream: TcpStream) -> io::Result<Paced> {
        let open = self.connections.open(stream.peer_addr()?.ip())?;
        stream.set_nodelay(true)?;
        Ok(Paced::new(stream, self.patience, open))
    }
}

impl<S> Accept<TcpStream, S> for Pace {
    type Stream = Paced;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        std::future::ready(self.paced(stream).map(|paced| (paced, service)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that takes so many bytes, every second, of an answer without end; how many seconds it was borne.
    fn borne(bytes: usize, seconds: u64) -> Option<u64> {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(30));
        (1..=seconds).find(|second| {
            let before = start + Duration::from_secs(second - 1);
            let now = start + Duration::from_secs(*second);
            if patience.ends(before) <= now {
                return true;
            }
            if bytes > 0 {
                patience.took(bytes, now);
            }
            false
        })
    }

    #[test]
    fn who_takes_nothing_or_next_to_nothing_is_borne_for_the_deadline() {
        assert_eq!(borne(0, 60), Some(30));
        assert_eq!(borne(1, 60), Some(31));
        // half of what is wanted: twice as long, and no longer
        assert!(borne(2048, 600).is_some_and(|seconds| seconds <= 60));
    }

    #[test]
    fn who_is_slow_but_fast_enough_is_never_closed() {
        assert_eq!(borne(4096, 100_000), None);
    }

    #[test]
    fn a_fast_start_buys_no_time() {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(30));
        patience.took(100_000_000, start);
        assert_eq!(patience.ends(start), start + Duration::from_secs(30));
    }
}
