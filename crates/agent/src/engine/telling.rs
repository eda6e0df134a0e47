//! The figures of the last day, and what somebody should be told once: events for whoever shows notifications.
//!
//! What stands is kept in the buffer's `meta`, written before the event goes out: dying in between means one
//! notice too few, which the status says anyway, and never the same one at each start.

use super::{Engine, ms};
use crate::live::{LiveState, SessionState};
use heyho_buffer::RunRecord;
use heyho_local::vocabulary::{Event as Push, Notice};
use heyho_records::fault::planted;
use heyho_records::status::Metrics;
use heyho_sync::alerts::{Alert, Alerts, Event, Facts, Figures, RunFact};
use heyho_sync::policy::{FIGURES_EVERY, FIGURES_OF, FIGURES_RUNS};
use std::time::Duration;

/// Key in `meta`.
const STANDING: &str = "alerts_standing";

#[derive(Debug, Default)]
pub(super) struct Telling {
    /// `None`: not read yet what stood when the program ended.
    alerts: Option<Alerts>,
    next_at: i64,
}

impl Telling {
    /// Something has happened: look at the next opportunity.
    pub(super) fn soon(&mut self) {
        self.next_at = i64::MIN;
    }
}

impl Engine {
    pub(super) async fn tell_now_and_then(&mut self) {
        let now = self.monotonic.now_ms();
        // Not before it is known whether somebody is signed in: that would end what stands.
        if now < self.telling.next_at || self.live.read().session == SessionState::Starting {
            return;
        }
        self.telling.next_at = now.saturating_add(ms(FIGURES_EVERY));
        if let Err(error) = self.tell().await {
            tracing::warn!("the figures of the day could not be read: {error}");
        }
    }

    async fn tell(&mut self) -> heyho_buffer::Result<()> {
        let now = self.clock.now_ms();
        let live = self.live.read();
        let account = self.buffer.signed_in().await?.map(|account| account.id);
        let runs = match account {
            Some(account) => self.buffer.runs(account, FIGURES_RUNS).await?,
            None => Vec::new(),
        };
        let totals = self.buffer.totals(account, now).await?;
        let figures = Figures::new(&of_the_last_day(&runs, now));
        let sendable = totals.waiting().saturating_sub(totals.held);
        let held_for = self.config.sync.hold;
        let facts = Facts {
            figures,
            waiting: if is_paused(&live) { 0 } else { sendable },
            oldest: totals.oldest_at.map_or(Duration::ZERO, |at| since(at, now).saturating_sub(held_for)),
            session_expired: live.session == SessionState::Expired,
            failed: totals.failed - totals.failed_kept,
            // Where nobody is signed in there are no others.
            failed_of_others: account
                .map_or(0, |_| totals.others.iter().map(|other| other.failed - other.failed_kept).sum()),
            disk_full: self.buffer.problem().await?.is_some(),
        };
        let metrics = account.map(|_| Metrics {
            runs: figures.runs,
            success_rate: figures.success_rate(),
            average_seconds: figures.average.as_secs_f64(),
            pending: sendable,
        });
        if live.metrics != metrics {
            self.live.change(|live| live.metrics = metrics);
        }
        self.raise(&facts).await
    }

    async fn raise(&mut self, facts: &Facts) -> heyho_buffer::Result<()> {
        let mut alerts = match self.telling.alerts.take() {
            Some(alerts) => alerts,
            None => {
                // The fault: what stood when the program ended is told again.
                let kept = self.buffer.meta(STANDING).await?.filter(|_| !planted("tells-again"));
                let stood: Vec<Alert> =
                    kept.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
                Alerts::standing_before(stood)
            }
        };
        let events = alerts.update(facts);
        let kept = if events.is_empty() {
            Ok(())
        } else {
            let standing: Vec<Alert> = alerts.standing().collect();
            let text = serde_json::to_string(&standing).unwrap_or_default();
            self.buffer.set_meta(STANDING, &text).await
        };
        let notice =
            |code, raised| Notice { code, text: facts.sentence(code), args: facts.args(code), raised };
        self.live.note_alerts(alerts.standing().map(|alert| notice(alert, true)).collect());
        self.telling.alerts = Some(alerts);
        for event in events {
            let notice = match event {
                Event::Raised(alert) => notice(alert, true),
                Event::Ended(alert) => notice(alert, false),
            };
            if notice.raised {
                tracing::warn!(alert = ?notice.code, "{}", notice.text);
            }
            self.live.push(Push::Alert(notice));
        }
        kept
    }
}

/// What the user has paused does not pile up by mistake.
fn is_paused(live: &LiveState) -> bool {
    live.paused.is_some() || live.held_back.is_some()
}

/// A clock that was set back makes nothing old.
fn since(at: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(at)).unwrap_or(0))
}

/// What somebody ended is neither good nor bad. Why a run ended is kept only where it was not well.
fn of_the_last_day(runs: &[RunRecord], now: i64) -> Vec<RunFact> {
    runs.iter()
        .filter(|run| (Duration::ZERO..FIGURES_OF).contains(&since(run.started_at, now)))
        .filter(|run| run.outcome != "stopped")
        .map(|run| RunFact {
            took: run.ended_at.map_or(Duration::ZERO, |end| since(run.started_at, end)),
            good: run.why.is_none(),
        })
        .collect()
}
