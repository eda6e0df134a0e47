//! Carries out what the core asks, for one account: the buffer on one side, the backend on the other.
//!
//! Reads of the buffer are over before a request begins; a batch is in the buffer before its first byte is
//! sent. Dropping a future of this module at any await leaves the buffer as it was before or after one
//! transaction.

mod taking;
#[cfg(test)]
mod taking_tests;

use crate::live::{DELIVERED, Live};
use crate::monotonic::Monotonic;
use crate::tokenholder::{Access, Refresh, Tokenholder};
use heyho_buffer::{AccountId, Buffer, BufferError, Fate, LAST_ANSWERED};
use heyho_buffer::{BatchItem as Row, Settlement as RowSettlement};
use heyho_local::clock::{self, Clock};
use heyho_local::vocabulary::Delivered;
use heyho_records::Kind;
use heyho_records::glance::Glance;
use heyho_records::time::timestamp;
use heyho_sync::driver::Driver;
use heyho_sync::known_good::KnownGood;
use heyho_sync::secret::Secret;
use heyho_sync::task::{
    Batch, BatchFate, BatchLimits, Mode, Outcome, Refreshed, RowRef, Settlement, Taken, Task, Vouched,
};
use heyho_sync::why::{Stop, Why};
use std::sync::Arc;
use std::time::Duration;

/// For as long as hosts store later versions of the very records that are being read: seldom once.
const READ_ANEW: u32 = 10;

#[derive(Debug)]
pub struct Carrier {
    pub buffer: Buffer,
    pub driver: Driver,
    pub tokens: Tokenholder,
    pub account: AccountId,
    pub device_id: String,
    pub clock: Arc<dyn Clock>,
    pub monotonic: Monotonic,
    live: Arc<Live>,
    /// How the backend is spoken to in this run.
    mode: Mode,
    /// The batch in flight, as it is persisted, and as the core knows it.
    flight: Option<heyho_buffer::Batch>,
    batch: Option<Batch>,
    /// What the backend took in this run, as far as nothing was forgotten since ([`Live::erasures`]).
    known_good: KnownGood,
    erasures: u64,
}

impl Carrier {
    #[expect(clippy::too_many_arguments, reason = "each is another part of the agent")]
    pub fn new(
        buffer: Buffer,
        driver: Driver,
        tokens: Tokenholder,
        account: AccountId,
        device_id: String,
        clock: Arc<dyn Clock>,
        monotonic: Monotonic,
        live: Arc<Live>,
    ) -> Carrier {
        Carrier {
            buffer,
            driver,
            tokens,
            account,
            device_id,
            clock,
            monotonic,
            live,
            mode: Mode::Full,
            flight: None,
            batch: None,
            known_good: KnownGood::default(),
            erasures: 0,
        }
    }

    pub async fn carry(&mut self, task: &Task) -> Outcome {
        let mut attempt = self.attempt(task).await;
        // A full disk stops deleting too: the ballast makes room for that, and draining for the rest.
        if matches!(attempt, Err(BufferError::DiskFull)) && self.buffer.release_ballast().is_ok() {
            attempt = self.attempt(task).await;
        }
        // Another program writes for longer than a write waits: once more. What was asked of the backend is not asked
        // again for it: it had its answer by then.
        if matches!(attempt, Err(BufferError::Busy)) && matches!(task, Task::TakeBatch(_) | Task::Settle(_)) {
            attempt = self.attempt(task).await;
        }
        // What was read has changed, or was erased, before the batch stood: it is read anew.
        for _ in 0..READ_ANEW {
            if !matches!(attempt, Err(BufferError::Changed)) {
                break;
            }
            attempt = self.attempt(task).await;
        }
        match attempt {
            Ok(outcome) => outcome,
            Err(error) => {
                let error = self.buffer.judged(error).await;
                if matches!(error, BufferError::Busy | BufferError::Changed) {
                    tracing::warn!("the run ends, and soon goes on: {error}");
                    return Outcome::Stop(Stop::BufferBusy);
                }
                tracing::error!("the run ends: {error}");
                if matches!(error, BufferError::Damaged(_)) {
                    // The next start looks at the whole file, and mends it.
                    let _ = Buffer::doubt(self.buffer.path());
                }
                Outcome::Stop(Stop::BufferProblem)
            }
        }
    }

    async fn attempt(&mut self, task: &Task) -> Result<Outcome, BufferError> {
        Ok(match task {
            Task::LearnCapabilities => Outcome::Reply(self.driver.capabilities().await),
            Task::TakeBatch(limits) => Outcome::Taken(self.take(limits).await?),
            Task::Send { gzip } => {
                let Some(flight) = &self.flight else { return Ok(Outcome::Stop(Stop::BufferProblem)) };
                let token = match self.tokens.access(&self.driver).await {
                    Access::Token(token) => token,
                    Access::NotNow(why, floor) => return Ok(not_now(why, floor)),
                };
                let _sending = self.live.sending().await;
                // What was erased meanwhile, also while the tokens were renewed, is not sent from memory.
                if !self.buffer.is_in_flight(flight.batch).await? {
                    self.flight = None;
                    return Ok(Outcome::Stop(Stop::Erased));
                }
                let (body, key) = (flight.body.clone(), flight.key.clone());
                Outcome::Reply(self.driver.sync(body, &key, &token, *gzip).await)
            }
            Task::Settle(settlement) => {
                self.settle(settlement).await?;
                Outcome::Settled
            }
            Task::RefreshToken => Outcome::Refreshed(match self.tokens.refresh(&self.driver).await {
                Refresh::Done => Refreshed::Yes,
                Refresh::SessionOver => Refreshed::SessionOver,
                Refresh::NotNow(why, floor) => Refreshed::NotNow(why, floor),
            }),
            Task::Check => match self.tokens.access(&self.driver).await {
                Access::Token(token) => Outcome::Reply(self.driver.check(&token).await),
                Access::NotNow(why, floor) => not_now(why, floor),
            },
            Task::Vouch { kind } => match self.tokens.access(&self.driver).await {
                Access::Token(token) => Outcome::Vouched(self.vouch(*kind, &token).await),
                Access::NotNow(why, floor) => not_now(why, floor),
            },
            Task::Wait { until_ms, .. } => {
                let left = until_ms.saturating_sub(self.monotonic.now_ms()).max(0);
                tokio::time::sleep(std::time::Duration::from_millis(left as u64)).await;
                Outcome::Woken
            }
            // The engine ends the run before asking for this.
            Task::Finish(_) => Outcome::Stop(Stop::Asked),
        })
    }

    async fn vouch(&mut self, kind: Kind, token: &Secret) -> Option<Vouched> {
        let _sending = self.live.sending().await;
        if self.live.erasures() != self.erasures {
            return None;
        }
        let key = clock::new_id().to_string();
        let (batch, body) = self.known_good.request(kind, &key, &self.device_id)?;
        let reply = self.driver.sync(body, &key, token, false).await;
        Some(Vouched { batch, reply })
    }

    async fn take(&mut self, limits: &BatchLimits) -> Result<Taken, BufferError> {
        let erasures = self.live.erasures();
        if erasures != self.erasures {
            (self.known_good, self.erasures) = (KnownGood::default(), erasures);
        }
        // What is left of a site that is half forgotten is not sent.
        self.buffer.finish_erasures().await?;
        let taken = self.take_batch(limits).await?;
        self.batch.clone_from(&taken.batch);
        Ok(taken)
    }

    async fn settle(&mut self, settlement: &Settlement) -> Result<(), BufferError> {
        let now = self.clock.now_ms();
        let fate = match settlement.batch {
            BatchFate::End => Fate::End,
            BatchFate::Keep => Fate::Keep,
            BatchFate::Rekey => Fate::Rekey(clock::new_id().to_string()),
        };
        let rows = RowSettlement {
            confirm: settlement.confirm.iter().map(|r| row(*r)).collect(),
            set_aside: settlement.set_aside.iter().map(|(r, why)| (row(*r), why.clone())).collect(),
            count: settlement.count.iter().map(|r| row(*r)).collect(),
            keep_anchors: self.mode == Mode::Baseline,
            forget_anchors: settlement.forget_anchors.iter().map(|r| -r.seq).collect(),
            fate: fate.clone(),
        };
        let erasures = self.live.erasures();
        let delivered = self.delivered(settlement, now).await?;
        if let (Some(flight), Some(batch), true) = (&self.flight, &self.batch, erasures == self.erasures)
            && !settlement.confirm.is_empty()
        {
            self.known_good.learn(batch, &flight.body, &settlement.confirm);
        }
        self.buffer.settle(self.flight.as_ref().map(|flight| flight.batch), &rows, now).await?;
        match (fate, &mut self.flight) {
            (Fate::End, flight) => *flight = None,
            (Fate::Rekey(key), Some(flight)) => flight.key = key,
            _ => {}
        }
        self.live.deliver(erasures, delivered);
        Ok(())
    }

    /// The last of what is confirmed now, as it is shown; read before it is gone.
    async fn delivered(&self, settlement: &Settlement, now: i64) -> Result<Vec<Delivered>, BufferError> {
        let confirmed = &settlement.confirm;
        let last = confirmed.get(confirmed.len().saturating_sub(DELIVERED)..).unwrap_or_default();
        let seqs: Vec<i64> = last.iter().map(|row| row.seq).collect();
        let rows = self.buffer.waiting(self.account, &seqs).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let Glance { title, host, .. } = Glance::of(&row.text);
                Delivered { title, host, kind: row.kind, at: timestamp(now) }
            })
            .collect())
    }

    /// A signed-in request was answered with nothing to send.
    pub async fn answered_now(&self) -> Result<(), BufferError> {
        self.buffer.set_meta(LAST_ANSWERED, &self.clock.now_ms().to_string()).await
    }
}

fn not_now(why: Why, floor: Option<Duration>) -> Outcome {
    Outcome::Refreshed(Refreshed::NotNow(why, floor))
}

fn row(row: RowRef) -> Row {
    Row { seq: row.seq, revision: row.revision, kind: row.kind }
}
