//! Frames on their way in: read, told apart, their records checked. A task of its own, so that this goes on while
//! what came before is being stored.
//!
//! It runs ahead by at most [`AHEAD`] frames, whose bytes `frames` bounds besides; more stays in the pipe, and the
//! browser waits. The privacy rules that hold are those of the moment a frame is read.

use crate::frames::{FrameReader, Inbound};
use crate::settings::Settings;
use heyho_buffer::Arrival;
use heyho_records::native::{Ask, Client, ErrorCode, Request, RequestId};
use heyho_records::rules::Dropped;
use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Of a hundred records each: as many as go into one commit (`GROUP_BYTES` in `session`).
const AHEAD: usize = 32;

/// What is to be done with one frame, in its turn.
#[derive(Debug)]
pub enum Turn {
    Records(RecordsFrame),
    Other(Option<RequestId>, Other),
    /// A length over the limit: nothing comes after it.
    TooLarge {
        length: usize,
    },
}

#[derive(Debug)]
pub struct RecordsFrame {
    pub id: Option<RequestId>,
    pub arrival: Arrival,
    pub bytes: usize,
    _held: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub enum Other {
    Hello {
        protocol: Option<u64>,
        client: Client,
    },
    Status,
    Subscribe,
    Sync,
    Open,
    Refused {
        code: ErrorCode,
        error: String,
    },
    /// Records that may not be stored until the settings are mended.
    NotNow {
        error: String,
    },
}

/// The frames of a pipe as turns, until it ends.
pub fn turns<R>(pipe: R, settings: Settings) -> mpsc::Receiver<Turn>
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let (to, turns) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut frames = FrameReader::new(pipe);
        let mut reader = Reader { settings, dropped: Dropped::default() };
        loop {
            let turn = match frames.next().await {
                Ok(Some(Inbound::Frame { bytes, held })) => reader.turn(&bytes, held),
                Ok(Some(Inbound::TooLarge { length })) => Turn::TooLarge { length },
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!("stdin could not be read: {error}");
                    return;
                }
            };
            let last = matches!(turn, Turn::TooLarge { .. });
            if to.send(turn).await.is_err() || last {
                return;
            }
        }
    });
    turns
}

struct Reader {
    settings: Settings,
    dropped: Dropped,
}

impl Reader {
    fn turn(&mut self, frame: &[u8], held: OwnedSemaphorePermit) -> Turn {
        let Request { id, ask } = Request::read(frame);
        let other = match ask {
            Ask::Records { account_ref, page_visits, tab_aggregates } => match self.settings.current() {
                Ok(config) => {
                    let arrival = Arrival::read_by_rules(
                        account_ref,
                        &page_visits,
                        &tab_aggregates,
                        &config.rules,
                        &mut self.dropped,
                    );
                    return Turn::Records(RecordsFrame { id, arrival, bytes: frame.len(), _held: held });
                }
                Err(error) => Other::NotNow { error: error.to_owned() },
            },
            Ask::Hello { protocol, client } => Other::Hello { protocol, client },
            Ask::Status => Other::Status,
            Ask::Subscribe => Other::Subscribe,
            Ask::Sync => Other::Sync,
            Ask::Open => Other::Open,
            Ask::Refused { code, error } => Other::Refused { code, error },
        };
        Turn::Other(id, other)
    }
}
