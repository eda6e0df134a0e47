//! `sync`, `pause`, `resume`, `history`, `timeline`.

use super::{Service, buffer, ending, json_of};
use crate::account::why_code;
use crate::engine::Command;
use crate::live::{Pause, SessionState};
use heyho_local::vocabulary::{Fault, FaultCode, Run, RunSummary, Timeline, TimelinePoint};
use heyho_records::time::timestamp;
use heyho_records::words::span;
use heyho_sync::why::Why;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::oneshot;

/// In `meta`, for a pause without an end.
const UNTIL_RESUMED: &str = "resumed";
const DAY_MS: i64 = 24 * 3_600_000;

impl Service {
    pub(super) async fn sync(&self, wait: bool) -> Result<Value, Fault> {
        let live = self.live.read();
        if let Some(pause) = live.paused {
            let for_how_long = match pause {
                Pause::Until(at) => format!("for another {}", span(self.clock.now(), at)),
                Pause::UntilResumed => "until you resume it".to_owned(),
            };
            return Err(Fault::new(FaultCode::TryLater, format!("Syncing is paused {for_how_long}.")));
        }
        if self.buffer.signed_in().await.map_err(buffer)?.is_none() {
            return Err(Fault::new(FaultCode::SignInNeeded, "Nobody is signed in: sign in first."));
        }
        if live.session == SessionState::Expired {
            return Err(Fault::new(FaultCode::SignInNeeded, "The session has ended: sign in again."));
        }
        if !wait {
            return self.tell(Command::Sync { done: None }).await;
        }
        let (done, summary) = oneshot::channel::<RunSummary>();
        self.tell(Command::Sync { done: Some(done) }).await?;
        json_of(&summary.await.map_err(|_| self.lost())?)
    }

    /// Whoever was to answer is gone: with the program, or by a fault in it, and another takes its place.
    fn lost(&self) -> Fault {
        match self.commands.is_closed() {
            true => ending(),
            false => Fault::new(why_code(&Why::Internal), Why::Internal.sentence()),
        }
    }

    pub(super) async fn pause(&self, seconds: Option<u64>) -> Result<Value, Fault> {
        let pause = match seconds {
            None => Pause::UntilResumed,
            Some(seconds) => {
                let length = i64::try_from(seconds).ok().map(SignedDuration::from_secs);
                let until = length.and_then(|length| self.clock.now().checked_add(length).ok());
                Pause::Until(until.ok_or_else(|| Fault::new(FaultCode::Usage, "that is too long a pause"))?)
            }
        };
        let kept = match pause {
            Pause::UntilResumed => UNTIL_RESUMED.to_owned(),
            Pause::Until(at) => at.as_millisecond().to_string(),
        };
        self.buffer.set_meta(heyho_buffer::PAUSED_UNTIL, &kept).await.map_err(buffer)?;
        self.live.change(|live| live.paused = Some(pause));
        self.tell(Command::PauseChanged).await
    }

    pub(super) async fn resume(&self) -> Result<Value, Fault> {
        self.buffer.set_meta(heyho_buffer::PAUSED_UNTIL, "0").await.map_err(buffer)?;
        self.live.change(|live| live.paused = None);
        self.tell(Command::PauseChanged).await
    }

    pub(super) async fn history(&self, limit: u32) -> Result<Vec<Run>, Fault> {
        let Some(account) = self.buffer.signed_in().await.map_err(buffer)? else { return Ok(Vec::new()) };
        let runs = self.buffer.runs(account.id, limit.min(1_000)).await.map_err(buffer)?;
        Ok(runs
            .into_iter()
            .map(|run| Run {
                started_at: timestamp(run.started_at),
                ended_at: run.ended_at.map(timestamp),
                batches: run.batches,
                sent: run.sent,
                failed: run.failed,
                outcome: run.outcome,
                why: run.why,
            })
            .collect())
    }

    pub(super) async fn timeline(&self) -> Result<Timeline, Fault> {
        let now = self.clock.now_ms();
        let samples = self.buffer.timeline(now - DAY_MS, now).await.map_err(buffer)?;
        let points = samples.into_iter().map(|s| TimelinePoint {
            at: timestamp(s.at),
            waiting: s.waiting,
            sent: s.sent,
        });
        Ok(Timeline { points: points.collect() })
    }
}

/// What was paused before the last end of the program.
pub fn kept_pause(kept: Option<&str>, now: Timestamp) -> Option<Pause> {
    match kept? {
        UNTIL_RESUMED => Some(Pause::UntilResumed),
        ms => ms.parse().ok().map(timestamp).filter(|at| *at > now).map(Pause::Until),
    }
}
