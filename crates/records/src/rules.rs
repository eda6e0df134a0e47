//! Privacy rules: what the user wants kept nowhere (contract, section 2). They run before anything is
//! validated, so that what is dropped is not among the failed either.
//!
//! - `drop`: the visit is filtered; an aggregate loses the site's `domainDurations`, `currentUrl` and
//!   `currentDomain`, and what its `statistics` say of it; an id that points to a dropped visit is left out.
//! - `strip`: the query and the fragment of `url` and `currentUrl` go.
//!
//! `*` matches any run of characters, the rest is compared without regard to case. Host patterns match the
//! whole host; `*.x` matches `x` too. Url patterns match the whole address.

use crate::Kind;
use crate::json::{Json, entries_of, repair};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Rule {
    pub id: String,
    pub r#match: Match,
    pub pattern: String,
    pub action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "lowercase")]
pub enum Match {
    Host,
    Url,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Drop,
    Strip,
}

/// The ids of visits that were dropped, so that later ones do not point to them. In memory only.
#[derive(Debug, Default)]
pub struct Dropped(HashSet<String>);

/// A browsing session opens few pages from each; this bounds a hostile one.
const REMEMBERED: usize = 20_000;

impl Dropped {
    fn note(&mut self, id: &str) {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(id.to_owned());
    }
}

/// The record as it may be kept, or nothing.
pub fn apply<'a>(rules: &[Rule], kind: Kind, raw: &'a str, dropped: &mut Dropped) -> Option<Cow<'a, str>> {
    if rules.is_empty() {
        return Some(Cow::Borrowed(raw));
    }
    let repaired = repair(raw);
    // What cannot be read as an object has no address; it is rejected and kept among the failed as it is.
    let Ok(entries) = entries_of(&repaired) else { return Some(Cow::Borrowed(raw)) };
    let text_of = |value: &str| serde_json::from_str::<String>(value).ok();
    let visit = kind == Kind::PageVisit;
    if visit
        && let Some(_) = entries
            .iter()
            .filter(|(key, _)| key == "url")
            .filter_map(|(_, value)| text_of(value.get()))
            .find(|url| action(rules, url) == Some(Action::Drop))
    {
        for (_, value) in entries.iter().filter(|(key, _)| key == "id" || key == "visitId") {
            if let Some(id) = text_of(value.get()) {
                dropped.note(&id);
            }
        }
        return None;
    }
    let mut changed = false;
    let mut kept = Vec::with_capacity(entries.len());
    for (key, value) in &entries {
        let after = match key.as_str() {
            "url" | "currentUrl" => text_of(value.get()).map(|url| address(rules, &url)),
            "currentDomain" | "domain" => {
                text_of(value.get()).filter(|host| drops_host(rules, host)).map(|_| Part::Gone)
            }
            "source_page_visit_id" | "page_visit_id" | "pageVisitId" => {
                text_of(value.get()).filter(|id| dropped.0.contains(id)).map(|_| Part::Gone)
            }
            "domainDurations" => domains(rules, value.get()),
            "statistics" => statistics(rules, value.get()),
            _ => None,
        };
        match after.unwrap_or(Part::Same) {
            Part::Same => kept.push(format!("{}:{}", quoted(key), value.get())),
            Part::Gone => changed = true,
            Part::Other(text) => {
                changed = true;
                kept.push(format!("{}:{text}", quoted(key)));
            }
        }
    }
    Some(if changed { Cow::Owned(format!("{{{}}}", kept.join(","))) } else { Cow::Borrowed(raw) })
}

enum Part {
    Same,
    Gone,
    /// JSON text.
    Other(String),
}

fn address(rules: &[Rule], url: &str) -> Part {
    match action(rules, url) {
        None => Part::Same,
        Some(Action::Drop) => Part::Gone,
        Some(Action::Strip) => match url.find(['?', '#']) {
            Some(end) => Part::Other(quoted(&url[..end])),
            None => Part::Same,
        },
    }
}

fn domains(rules: &[Rule], value: &str) -> Option<Part> {
    let entries = entries_of(value).ok()?;
    let kept: Vec<String> = entries
        .iter()
        .filter(|(domain, _)| !drops_host(rules, domain))
        .map(|(domain, time)| format!("{}:{}", quoted(domain), time.get()))
        .collect();
    (kept.len() < entries.len()).then(|| Part::Other(format!("{{{}}}", kept.join(","))))
}

/// Numbers stay; a text in it that names a dropped site (`mostVisitedDomain`) goes.
fn statistics(rules: &[Rule], value: &str) -> Option<Part> {
    let entries = entries_of(value).ok()?;
    let names_it = |value: &str| {
        serde_json::from_str::<String>(value)
            .is_ok_and(|text| drops_host(rules, &text) || action(rules, &text) == Some(Action::Drop))
    };
    let kept: Vec<String> = entries
        .iter()
        .filter(|(_, value)| !names_it(value.get()))
        .map(|(key, value)| format!("{}:{}", quoted(key), value.get()))
        .collect();
    (kept.len() < entries.len()).then(|| Part::Other(format!("{{{}}}", kept.join(","))))
}

/// The strictest of what the rules say about an address.
fn action(rules: &[Rule], url: &str) -> Option<Action> {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let matching = rules.iter().filter(|rule| match rule.r#match {
        Match::Host => host.as_deref().is_some_and(|host| matches_host(&rule.pattern, host)),
        Match::Url => matches(&rule.pattern, url),
    });
    let mut found = None;
    for rule in matching {
        match rule.action {
            Action::Drop => return Some(Action::Drop),
            Action::Strip => found = Some(Action::Strip),
        }
    }
    found
}

fn drops_host(rules: &[Rule], host: &str) -> bool {
    rules.iter().any(|rule| {
        rule.action == Action::Drop
            && match rule.r#match {
                Match::Host => matches_host(&rule.pattern, host),
                // An address rule that covers all of a site covers its name.
                Match::Url => ["https://", "http://"]
                    .iter()
                    .any(|scheme| matches(&rule.pattern, &format!("{scheme}{host}/any/page?of=it"))),
            }
    })
}

fn matches_host(pattern: &str, host: &str) -> bool {
    matches(pattern, host) || pattern.strip_prefix("*.").is_some_and(|domain| matches(domain, host))
}

/// Whether all of the text fits the pattern; linear for one star, never exponential.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn quoted(text: &str) -> String {
    Json::String(text.to_owned()).canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(r#match: Match, pattern: &str, action: Action) -> Rule {
        Rule { id: "r".into(), r#match, pattern: pattern.into(), action }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a.example", "a.example", true),
            ("a.example", "b.a.example", false),
            ("*bank*", "https://my.BANK.example/", true),
            ("https://x/*/y*", "https://x/1/2/y?z", true),
            ("https://x/*/y", "https://x/1/2/y?z", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(matches_host("*.bank.example", "bank.example"));
        assert!(matches_host("*.bank.example", "www.bank.example"));
        assert!(!matches_host("*.bank.example", "notbank.example"));
    }

    #[test]
    fn dropped_visits_leave_no_trace_and_nobody_points_to_them() {
        let rules = [rule(Match::Host, "*.bank.example", Action::Drop)];
        let mut dropped = Dropped::default();
        let mut apply = |kind, raw: &str| apply(&rules, kind, raw, &mut dropped).map(Cow::into_owned);
        let secret = r#"{"id":"s","url":"https://www.bank.example/account","startedAt":1}"#;
        assert_eq!(apply(Kind::PageVisit, secret), None);
        // bad in every other way: still not kept, so not among the failed either
        assert_eq!(apply(Kind::PageVisit, r#"{"url":"https://bank.example/","url":"http://x/"}"#), None);
        let child = r#"{"id":"c","source_page_visit_id":"s","url":"http://x/?q=1"}"#;
        assert_eq!(apply(Kind::PageVisit, child).unwrap(), r#"{"id":"c","url":"http://x/?q=1"}"#);
        let other = r#"{"id":"d","source_page_visit_id":"c","url":"http://x/"}"#;
        assert_eq!(apply(Kind::PageVisit, other).unwrap(), other);
        let aggregate = r#"{"startTime":1,"tabId":2,"domainDurations":{"bank.example":5,"x":1.50},"currentUrl":"https://bank.example/","currentDomain":"bank.example","page_visit_id":"s","statistics":{"n":1,"mostVisitedDomain":"bank.example"}}"#;
        assert_eq!(
            apply(Kind::TabAggregate, aggregate).unwrap(),
            r#"{"startTime":1,"tabId":2,"domainDurations":{"x":1.50},"statistics":{"n":1}}"#
        );
    }

    #[test]
    fn stripped_addresses_keep_their_page() {
        let rules = [rule(Match::Url, "https://x/*", Action::Strip)];
        let mut dropped = Dropped::default();
        let raw = r#"{"id":"c","n":1e3,"url":"https://x/a?secret=1#f"}"#;
        let kept = apply(&rules, Kind::PageVisit, raw, &mut dropped).unwrap();
        assert_eq!(kept, r#"{"id":"c","n":1e3,"url":"https://x/a"}"#);
        let plain = r#"{ "id":"c", "url":"https://x/a" }"#;
        assert_eq!(apply(&rules, Kind::PageVisit, plain, &mut dropped).unwrap(), plain);
    }
}
