//! What somebody should be told once: S2's two (runs that fail too often, a queue that does not shrink), and
//! what only a person can mend.
//!
//! An alert is raised once and stands until its cause is gone; raising and ending it are the events. What
//! stands outlives the program (the agent keeps it in the buffer), so that a restart repeats nothing.

use crate::policy;
pub use heyho_records::alert::Alert;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How delivering went in the last day, for the window, the command line and the alerts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    pub runs: u64,
    /// Of those, the ones that did not end well; stopped ones do not count.
    pub failed_runs: u64,
    pub average: Duration,
}

/// One run of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunFact {
    pub took: Duration,
    pub good: bool,
}

impl Figures {
    pub fn new(runs: &[RunFact]) -> Figures {
        let count = runs.len() as u64;
        let total: Duration = runs.iter().map(|run| run.took).sum();
        Figures {
            runs: count,
            failed_runs: runs.iter().filter(|run| !run.good).count() as u64,
            average: u32::try_from(count).ok().and_then(|count| total.checked_div(count)).unwrap_or_default(),
        }
    }

    /// From 0 to 1; `None` before there was any run.
    pub fn success_rate(&self) -> Option<f64> {
        (self.runs > 0).then(|| 1.0 - self.failed_runs as f64 / self.runs as f64)
    }
}

/// What alerts are decided by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Facts {
    pub figures: Figures,
    /// What could be sent: without what is held, and nothing while the user has paused.
    pub waiting: u64,
    /// How long the oldest of them waits beyond the hold that was asked for.
    pub oldest: Duration,
    pub session_expired: bool,
    /// Failed records the user has not chosen to keep quietly.
    pub failed: u64,
    /// Of those, the ones of accounts that are not signed in.
    pub failed_of_others: u64,
    pub disk_full: bool,
}

impl Facts {
    fn holds(&self, alert: Alert) -> bool {
        let figures = &self.figures;
        match alert {
            Alert::FailureRate => {
                figures.runs >= policy::ALERT_RUNS_LEAST
                    && figures.failed_runs as f64 > figures.runs as f64 * policy::ALERT_FAILURE_RATE
            }
            Alert::Backlog => self.waiting > policy::ALERT_WAITING && self.oldest > policy::ALERT_WAITING_FOR,
            Alert::BacklogDay => self.waiting > 0 && self.oldest > policy::ALERT_WAITING_LONG,
            Alert::SessionExpired => self.session_expired,
            Alert::FailedRecords => self.failed > 0,
            Alert::DiskFull => self.disk_full,
        }
    }

    /// The numbers of the sentence.
    pub fn args(&self, alert: Alert) -> BTreeMap<String, u64> {
        let seconds = self.oldest.as_secs();
        let args: &[(&str, u64)] = match alert {
            Alert::FailureRate => &[("failed", self.figures.failed_runs), ("runs", self.figures.runs)],
            Alert::Backlog => &[("waiting", self.waiting), ("minutes", seconds / 60)],
            Alert::BacklogDay => &[("waiting", self.waiting), ("hours", seconds / 3_600)],
            Alert::SessionExpired | Alert::DiskFull => &[("waiting", self.waiting)],
            Alert::FailedRecords => &[("failed", self.failed)],
        };
        args.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    pub fn sentence(&self, alert: Alert) -> String {
        let records = |n: u64| if n == 1 { "1 record".to_owned() } else { format!("{n} records") };
        let figures = &self.figures;
        match alert {
            Alert::FailureRate => {
                format!("{} of the last {} attempts to deliver failed.", figures.failed_runs, figures.runs)
            }
            Alert::Backlog => {
                let minutes = self.oldest.as_secs() / 60;
                format!("{} wait, the oldest for {minutes} minutes.", records(self.waiting))
            }
            Alert::BacklogDay => {
                let hours = self.oldest.as_secs() / 3_600;
                let wait = if self.waiting == 1 { "waits" } else { "wait" };
                format!("{} {wait}, for up to {hours} hours.", records(self.waiting))
            }
            Alert::SessionExpired => {
                "The session has ended: sign in again. Records are kept safely here.".to_owned()
            }
            Alert::FailedRecords if self.failed_of_others >= self.failed => {
                format!("{} of another account could not be delivered.", records(self.failed))
            }
            Alert::FailedRecords => format!("{} could not be delivered.", records(self.failed)),
            Alert::DiskFull => {
                "The disk, or the space that records may take, is full: nothing new is kept.".to_owned()
            }
        }
    }
}

const ALL: [Alert; 6] = [
    Alert::FailureRate,
    Alert::Backlog,
    Alert::BacklogDay,
    Alert::SessionExpired,
    Alert::FailedRecords,
    Alert::DiskFull,
];

/// A change of what stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Raised(Alert),
    Ended(Alert),
}

/// What stands now.
#[derive(Debug, Default, PartialEq)]
pub struct Alerts(BTreeSet<Alert>);

impl Alerts {
    /// What stood when the program ended.
    pub fn standing_before(alerts: impl IntoIterator<Item = Alert>) -> Alerts {
        Alerts(alerts.into_iter().collect())
    }

    /// What has changed with these facts.
    pub fn update(&mut self, facts: &Facts) -> Vec<Event> {
        let now: BTreeSet<Alert> = ALL.into_iter().filter(|alert| facts.holds(*alert)).collect();
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

    fn runs(good: usize, bad: usize) -> Facts {
        let of = |good| RunFact { took: Duration::from_secs(if good { 2 } else { 5 }), good };
        let runs: Vec<RunFact> =
            std::iter::repeat_n(of(true), good).chain(std::iter::repeat_n(of(false), bad)).collect();
        Facts { figures: Figures::new(&runs), ..Facts::default() }
    }

    fn waiting(waiting: u64, minutes: u64) -> Facts {
        Facts { waiting, oldest: Duration::from_mins(minutes), ..Facts::default() }
    }

    #[test]
    fn failing_runs_raise_one_alert_until_they_are_few_again() {
        let mut alerts = Alerts::default();
        let mut update = |good, bad| alerts.update(&runs(good, bad));
        assert_eq!(update(95, 5), []);
        assert_eq!(update(94, 6), [Event::Raised(Alert::FailureRate)]);
        assert_eq!(update(50, 50), []);
        assert_eq!(update(100, 1), [Event::Ended(Alert::FailureRate)]);
        // One failure among a handful says nothing yet.
        assert_eq!(update(2, 1), []);
    }

    #[test]
    fn a_queue_is_an_alert_when_it_is_long_for_long_and_anything_is_after_a_day() {
        let mut alerts = Alerts::default();
        assert_eq!(alerts.update(&waiting(5_000, 59)), []);
        assert_eq!(alerts.update(&waiting(100, 600)), []);
        assert_eq!(alerts.update(&waiting(101, 61)), [Event::Raised(Alert::Backlog)]);
        assert_eq!(alerts.standing().collect::<Vec<_>>(), [Alert::Backlog]);
        let facts = waiting(1, 24 * 60 + 1);
        assert_eq!(alerts.update(&facts), [Event::Raised(Alert::BacklogDay), Event::Ended(Alert::Backlog)]);
        assert_eq!(facts.sentence(Alert::BacklogDay), "1 record waits, for up to 24 hours.");
        assert_eq!(waiting(101, 61).sentence(Alert::Backlog), "101 records wait, the oldest for 61 minutes.");
        assert_eq!(alerts.update(&waiting(0, 0)), [Event::Ended(Alert::BacklogDay)]);
    }

    #[test]
    fn what_only_a_person_can_mend_is_said_once_until_it_is_mended() {
        let bad = Facts { session_expired: true, failed: 3, disk_full: true, ..Facts::default() };
        let mut alerts = Alerts::default();
        assert_eq!(alerts.update(&bad).len(), 3);
        assert_eq!(alerts.update(&Facts { failed: 30, ..bad }), []);
        // A restart repeats nothing.
        let mut alerts = Alerts::standing_before(alerts.standing());
        assert_eq!(alerts.update(&bad), []);
        assert_eq!(alerts.update(&Facts { failed: 0, ..bad }), [Event::Ended(Alert::FailedRecords)]);
        assert_eq!(alerts.update(&bad), [Event::Raised(Alert::FailedRecords)]);
        assert_eq!(bad.args(Alert::FailedRecords), BTreeMap::from([("failed".to_owned(), 3)]));
        assert_eq!(bad.sentence(Alert::FailedRecords), "3 records could not be delivered.");
        let of_others = Facts { failed_of_others: 3, ..bad };
        let told = "3 records of another account could not be delivered.";
        assert_eq!(of_others.sentence(Alert::FailedRecords), told);
    }

    #[test]
    fn the_figures_of_no_runs_are_no_figures() {
        let figures = Figures::new(&[]);
        assert_eq!((figures.success_rate(), figures.average), (None, Duration::ZERO));
        let figures = runs(1, 1).figures;
        assert_eq!((figures.success_rate(), figures.average), (Some(0.5), Duration::from_millis(3_500)));
    }
}
