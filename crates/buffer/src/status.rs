//! The status as far as the buffer knows it: what the host and the command line say without an agent, and
//! what the agent adds its own knowledge to.

use crate::error::Result;
use crate::open::Buffer;
use heyho_records::status::{
    Account, Args, Backlog, Browser, Facts, LastSync, OtherAccount, Said, State, Status, beside_a_problem,
    failed_records, fresh_within_ms, nobody,
};
use heyho_records::time::timestamp;
use std::time::Duration;

/// Key in `meta`: when the backend last accounted for records.
pub const LAST_CONFIRMED: &str = "last_confirmed_at";

/// Key in `meta`: when a signed-in request with nothing to send was last answered. It keeps the truth fresh, and
/// confirms nothing.
pub const LAST_ANSWERED: &str = "last_answered_at";

/// Key in `meta`: until when syncing is paused, in ms since the epoch; a word: until it is resumed.
pub const PAUSED_UNTIL: &str = "paused_until";

/// Of browser profiles in a status, those seen last: what one extension says must not make it too long for all others.
const MOST_BROWSERS: usize = 500;

/// The status, and what its state was decided by.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub status: Status,
    pub facts: Facts,
    /// What there is to say of the file itself.
    pub said: Vec<Said>,
    /// The sources of `status.browsers`, in the same order.
    pub sources: Vec<String>,
}

impl Buffer {
    /// Without an agent: nobody is syncing, and nothing is said about what only an agent can know.
    pub async fn status(&self, interval: Duration, now: i64) -> Result<Known> {
        let account = self.signed_in().await?;
        let totals = self.totals(account.as_ref().map(|a| a.id), now).await?;
        let last_run = match &account {
            Some(account) => self.runs(account.id, 1).await?.into_iter().next(),
            None => None,
        };
        let confirmed = self.meta(LAST_CONFIRMED).await?.and_then(|ms| ms.parse::<i64>().ok());
        let answered = self.meta(LAST_ANSWERED).await?.and_then(|ms| ms.parse::<i64>().ok());
        let problem = self.problem().await?;
        let paused = self.meta(PAUSED_UNTIL).await?;
        let facts = Facts {
            buffer_problem: problem.is_some(),
            paused: paused.as_ref().is_some_and(|until| until.parse().map_or(true, |at: i64| at > now)),
            signed_in: account.is_some(),
            failed_unkept: totals.failed > totals.failed_kept,
            waiting: totals.waiting() > 0,
            confirmed_lately: [confirmed, answered]
                .into_iter()
                .flatten()
                .any(|at| (0..=fresh_within_ms(interval)).contains(&now.saturating_sub(at))),
            ..Facts::default()
        };
        let mut seen = self.sources().await?;
        seen.truncate(MOST_BROWSERS);
        let sources = seen.iter().map(|source| source.name.clone()).collect();
        let browsers = seen.into_iter().map(|source| Browser {
            name: if source.browser.is_empty() { source.name } else { source.browser },
            profile_id: source.profile_id,
            last_seen_at: Some(timestamp(source.seen_at)),
            connected: false,
        });
        let status = Status {
            state: State::decide(facts),
            reason: None,
            reason_code: None,
            reason_args: Args::new(),
            also: Vec::new(),
            backlog: Backlog {
                page_visits: totals.page_visits.records,
                tab_aggregates: totals.tab_aggregates.records,
                bytes: totals.page_visits.bytes + totals.tab_aggregates.bytes,
                held: totals.held,
                oldest_at: totals.oldest_at.map(timestamp),
            },
            failed: totals.failed,
            failed_kept: totals.failed_kept,
            last_sync: last_run.map(|run| LastSync {
                at: timestamp(run.ended_at.unwrap_or(run.started_at)),
                outcome: run.outcome,
                sent: run.sent,
                failed: run.failed,
                why: run.why,
            }),
            last_confirmed_at: confirmed.map(timestamp),
            next_attempt_at: None,
            progress: None,
            account: account.map(|a| Account { r#ref: a.r#ref, email: a.email, backend: a.backend }),
            agent_running: false,
            unclaimed: totals.unclaimed,
            other_accounts: totals
                .others
                .into_iter()
                .map(|o| OtherAccount {
                    r#ref: o.r#ref,
                    email: o.email,
                    backend: o.backend,
                    waiting: o.waiting,
                    failed: o.failed,
                    failed_kept: o.failed_kept,
                })
                .collect(),
            browsers: browsers.collect(),
            paused_until: paused.and_then(|until| until.parse().ok()).filter(|at| *at > now).map(timestamp),
            metrics: None,
            short_session: false,
            numbers_unknown: false,
        };
        let said = problem.into_iter().collect();
        Ok(Known { status, facts, said, sources })
    }

    /// What to say when no agent runs.
    pub async fn offline_status(&self, interval: Duration, now: i64) -> Result<Status> {
        let Known { mut status, facts, mut said, .. } = self.status(interval, now).await?;
        // Nobody can say now whether the session still holds: no green without an agent.
        status.state = State::decide(Facts { confirmed_lately: false, ..facts });
        match status.state {
            State::SignedOut => said.push(nobody()),
            State::BufferProblem => said.extend(beside_a_problem(facts, facts.paused)),
            _ => {}
        }
        said.extend(failed_records(&status));
        said.push(match status.backlog.records() {
            0 => Said::new("not_running", "The companion is not running."),
            _ => Said::new(
                "not_running_waiting",
                "The companion is not running. What waits is safe and is sent when it starts.",
            ),
        });
        status.say(said);
        Ok(status)
    }
}
