//! What S2 wants somebody to be told: runs that fail too often, and a queue that does not shrink.
//!
//! An alert is raised once and stands until its cause is gone; raising and ending it are the events.

use crate::policy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Figures of the last day, for the window, the command line and the alerts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    pub runs: u64,
    /// Of those, the ones that did not end well; stopped ones do not count.
    pub failed_runs: u64,
    pub average: Duration,
    pub waiting: u64,
    /// How long the oldest of them waits.
    pub oldest: Duration,
}

/// One run of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunFact {
    pub took: Duration,
    pub good: bool,
}

impl Figures {
    pub fn new(runs: &[RunFact], waiting: u64, oldest: Duration) -> Figures {
        let count = runs.len() as u64;
        let total: Duration = runs.iter().map(|run| run.took).sum();
        Figures {
            runs: count,
            failed_runs: runs.iter().filter(|run| !run.good).count() as u64,
            average: u32::try_from(count).ok().and_then(|count| total.checked_div(count)).unwrap_or_default(),
            waiting,
            oldest,
        }
    }

    /// From 0 to 1; `None` before there was any run.
    pub fn success_rate(&self) -> Option<f64> {
        (self.runs > 0).then(|| 1.0 - self.failed_runs as f64 / self.runs as f64)
    }

    fn alerts(&self) -> BTreeSet<Alert> {
        let enough = self.runs >= policy::ALERT_RUNS_LEAST;
        let failing = self.failed_runs as f64 > self.runs as f64 * policy::ALERT_FAILURE_RATE;
        let stuck = self.waiting > policy::ALERT_WAITING && self.oldest > policy::ALERT_WAITING_FOR;
        let of = |holds: bool, alert: Alert| holds.then_some(alert);
        [of(enough && failing, Alert::FailureRate), of(stuck, Alert::Backlog)].into_iter().flatten().collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    /// More than one run in twenty failed.
    FailureRate,
    /// More than a hundred records wait, and that for over an hour.
    Backlog,
}

impl Alert {
    pub fn sentence(self, figures: &Figures) -> String {
        match self {
            Alert::FailureRate => {
                format!("{} of the last {} attempts to deliver failed.", figures.failed_runs, figures.runs)
            }
            Alert::Backlog => {
                let minutes = figures.oldest.as_secs() / 60;
                format!("{} records wait, the oldest for {minutes} minutes.", figures.waiting)
            }
        }
    }
}

/// A change of what stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Raised(Alert),
    Ended(Alert),
}

/// What stands now.
#[derive(Debug, Default)]
pub struct Alerts(BTreeSet<Alert>);

impl Alerts {
    /// What has changed with these figures.
    pub fn update(&mut self, figures: &Figures) -> Vec<Event> {
        let now = figures.alerts();
        let raised = now.difference(&self.0).copied().map(Event::Raised);
        let ended = self.0.difference(&now).copied().map(Event::Ended);
        let events = raised.chain(ended).collect();
        self.0 = now;
        events
    }

    pub fn standing(&self) -> impl Iterator<Item = Alert> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(good: usize, bad: usize) -> Vec<RunFact> {
        let of = |good| RunFact { took: Duration::from_secs(if good { 2 } else { 5 }), good };
        std::iter::repeat_n(of(true), good).chain(std::iter::repeat_n(of(false), bad)).collect()
    }

    #[test]
    fn failing_runs_raise_one_alert_until_they_are_few_again() {
        let mut alerts = Alerts::default();
        let mut update = |good, bad| alerts.update(&Figures::new(&runs(good, bad), 0, Duration::ZERO));
        assert_eq!(update(95, 5), []);
        assert_eq!(update(94, 6), [Event::Raised(Alert::FailureRate)]);
        assert_eq!(update(50, 50), []);
        assert_eq!(update(100, 1), [Event::Ended(Alert::FailureRate)]);
        // One failure among a handful says nothing yet.
        assert_eq!(update(2, 1), []);
    }

    #[test]
    fn a_queue_is_an_alert_when_it_is_long_for_long() {
        let (minutes, mut alerts) = (Duration::from_mins, Alerts::default());
        assert_eq!(alerts.update(&Figures::new(&[], 5_000, minutes(59))), []);
        assert_eq!(alerts.update(&Figures::new(&[], 100, minutes(600))), []);
        let figures = Figures::new(&[], 101, minutes(61));
        assert_eq!(alerts.update(&figures), [Event::Raised(Alert::Backlog)]);
        assert_eq!(alerts.standing().collect::<Vec<_>>(), [Alert::Backlog]);
        assert_eq!(Alert::Backlog.sentence(&figures), "101 records wait, the oldest for 61 minutes.");
    }

    #[test]
    fn the_figures_of_no_runs_are_no_figures() {
        let figures = Figures::new(&[], 0, Duration::ZERO);
        assert_eq!((figures.success_rate(), figures.average), (None, Duration::ZERO));
        let figures = Figures::new(&runs(1, 1), 0, Duration::ZERO);
        assert_eq!((figures.success_rate(), figures.average), (Some(0.5), Duration::from_millis(3_500)));
    }
}
