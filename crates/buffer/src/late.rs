//! What was on its way when a site was forgotten: in the pipe, read ahead, sent before the browser heard of it.
//!
//! Whoever takes records in remembers what was forgotten while it runs, and leaves out what was captured before: a
//! visit that began before; of an aggregate that was last told before, what it says of the site (or a moment later,
//! for the browser hears a moment later); what is no record, and so has no time, for a minute. In memory only: a list
//! of forgotten sites would be the very trace that was to go.

use crate::append::Arrival;
use crate::site::{Fate, Site};
use heyho_records::fault::planted;
use heyho_records::record::Facts;
use heyho_records::rules::Dropped;
use heyho_records::{Kind, Record, Rejection};

/// A browser that is connected has heard of it by then, in ms.
const HEARD: i64 = 10_000;
/// What has no time of its own is taken for older by then, in ms.
const TIMELESS: i64 = 60_000;
/// Forgetting is done by hand.
const REMEMBERED: usize = 1_000;

/// What was forgotten, and when.
#[derive(Debug, Default)]
pub struct Late {
    sites: Vec<(Site, i64)>,
    /// Visits that were left out, so that no later record points to them.
    dropped: Dropped,
}

/// A record, or what was to be one, with its text.
pub(crate) type Read = std::result::Result<Record, (Rejection, String)>;

impl Late {
    pub fn forget(&mut self, domain: &str, now: i64) {
        if self.sites.len() == REMEMBERED {
            self.sites.remove(0);
        }
        self.sites.push((Site::of(domain), now));
    }

    /// Leaves out of what has arrived what nothing is to be kept of.
    pub fn sift(&mut self, arrivals: &mut [Arrival], now: i64) {
        if self.sites.is_empty() || planted("late-ones-pass") {
            return;
        }
        // Of a clock that was set back since: it would hold back what is new.
        self.sites.retain(|(_, at)| *at <= now + HEARD);
        for arrival in arrivals {
            arrival.keep(|kind, read| self.judge(kind, read, now));
        }
    }

    /// As it may be kept, or nothing.
    fn judge(&mut self, kind: Kind, mut read: Read, now: i64) -> Option<Read> {
        for (site, at) in &self.sites {
            let (older, text) = match &read {
                Ok(record) => (captured_before(kind, &record.facts, *at), record.text.as_str()),
                Err((_, raw)) => (now < at + TIMELESS, raw.as_str()),
            };
            if !older {
                continue;
            }
            let text = match site.judge(kind, text, &mut self.dropped) {
                Fate::Kept => continue,
                Fate::Gone => return None,
                Fate::Changed(text) => text.into_owned(),
            };
            read = Record::read(kind, &text).map_err(|rejection| (rejection, text));
        }
        Some(read)
    }
}

fn captured_before(kind: Kind, facts: &Facts, at: i64) -> bool {
    match kind {
        Kind::PageVisit => facts.visited_at.is_none_or(|began| began < at),
        Kind::TabAggregate => facts.last_active.or(facts.start_time).is_none_or(|told| told < at + HEARD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_700_000_000_000;

    fn left(visits: &[&str], aggregates: &[&str], now: i64) -> (u64, Vec<String>) {
        let mut late = Late::default();
        late.forget("site.example", AT);
        let mut arrivals = [Arrival::read(None, visits, aggregates)];
        late.sift(&mut arrivals, now);
        let [arrival] = arrivals;
        (arrival.filtered, arrival.texts())
    }

    fn visit(id: &str, host: &str, at: i64) -> String {
        format!(r#"{{"id":"{id}","url":"https://{host}/","startedAt":{at}}}"#)
    }

    #[test]
    fn what_was_captured_before_is_left_out_and_what_comes_after_is_new() {
        let (old, new) = (visit("old", "www.site.example", AT - 1), visit("new", "www.site.example", AT));
        let other = visit("other", "other.example", AT - 1);
        assert_eq!(left(&[&old, &new, &other], &[], AT + 1_000_000), (1, vec![new, other]));
    }

    #[test]
    fn an_aggregate_loses_the_site_where_it_was_told_before_the_browser_had_heard() {
        let life = |last: i64| {
            format!(
                r#"{{"id":"t","tabId":1,"startTime":1,"lastActiveTime":{last},"domainDurations":{{"site.example":1,"other.example":2}}}}"#
            )
        };
        let (before, meanwhile, after) = (life(AT - 5), life(AT + 50), life(AT + HEARD));
        for (text, keeps) in [(&before, false), (&meanwhile, false), (&after, true)] {
            let (filtered, texts) = left(&[], &[text], AT + 100);
            assert_eq!((filtered, texts.len(), texts[0].contains("site.example")), (0, 1, keeps), "{text}");
            assert!(texts[0].contains("other.example"));
        }
    }

    #[test]
    fn a_later_record_does_not_point_to_one_that_was_left_out() {
        let child = r#"{"id":"c","url":"https://other.example/","startedAt":5,"source_page_visit_id":"old"}"#;
        let (filtered, texts) = left(&[&visit("old", "site.example", AT - 1), child], &[], AT);
        assert_eq!((filtered, texts.len()), (1, 1));
        assert!(!texts[0].contains("old"), "{texts:?}");
    }

    #[test]
    fn what_is_no_record_is_judged_by_its_words_for_a_minute() {
        let bad = r#"{"id":"b","url":"see https://site.example/","startedAt":5}"#;
        assert_eq!(left(&[bad], &[], AT + TIMELESS - 1), (1, vec![]));
        assert_eq!(left(&[bad], &[], AT + TIMELESS).1.len(), 1);
    }
}
