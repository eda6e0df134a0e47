//! Privacy rules: what the user wants kept nowhere (contract, section 2). They run before anything is
//! validated, so that what is dropped is not among the failed either.
//!
//! - `drop`: the visit is filtered; an aggregate loses the site's `domainDurations`, `currentUrl` and
//!   `currentDomain`, and what its `statistics` say of it; an id that points to a dropped visit is left out.
//! - `strip`: the query and the fragment of `url` and `currentUrl` go.
//!
//! `*` matches any run of characters, the rest is compared without regard to case and to blanks around it. Host
//! patterns match the whole host, in letters or as `xn--`, with or without a last dot; `*.x` matches `x` too. Url
//! patterns match the whole address, as it was sent or as a browser writes it. The extension's `rules.ts` judges
//! alike: both are asked the cases in `extension/companion/test/rule-cases.json`.

use crate::Kind;
use crate::fault::planted;
use crate::json::{Json, entries_of, repair};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;
use url::Url;

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
    let no_address = entries
        .iter()
        .filter(|(key, _)| key == "currentUrl")
        .any(|(_, value)| text_of(value.get()).is_some_and(|url| action(rules, &url) == Some(Action::Drop)));
    let mut changed = false;
    let mut kept = Vec::with_capacity(entries.len());
    for (key, value) in &entries {
        let after = match key.as_str() {
            "url" | "currentUrl" => text_of(value.get()).map(|url| address(rules, &url)),
            "currentDomain" if no_address => Some(Part::Gone),
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
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str);
    let matching = rules.iter().filter(|rule| match rule.r#match {
        Match::Host => host.is_some_and(|host| matches_host(&rule.pattern, host)),
        Match::Url => {
            let pattern = rule.pattern.trim();
            matches(pattern, url) || parsed.as_ref().is_some_and(|parsed| matches(pattern, parsed.as_str()))
        }
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

/// Whether a host is dropped as a whole: by a host rule, or by an address rule that covers all of it.
fn drops_host(rules: &[Rule], host: &str) -> bool {
    let of_it = |scheme: &str| format!("{scheme}://{host}/any/page?of=it");
    ["https", "http"].iter().any(|scheme| action(rules, &of_it(scheme)) == Some(Action::Drop))
}

fn matches_host(pattern: &str, host: &str) -> bool {
    let pattern = if planted("patterns-as-they-are") { pattern.to_owned() } else { host_pattern(pattern) };
    let host = host.strip_suffix('.').unwrap_or(host);
    matches(&pattern, host) || pattern.strip_prefix("*.").is_some_and(|domain| matches(domain, host))
}

/// Why no page can ever fit this rule; none: one may.
pub fn cannot_match(rule: &Rule) -> Option<&'static str> {
    let pattern = rule.pattern.trim();
    match rule.r#match {
        // An address of IPv6 stands in brackets.
        Match::Host => {
            let colon = pattern.contains(':') && !(pattern.starts_with('[') && pattern.ends_with(']'));
            let odd = |c: char| c.is_whitespace() || "/?#@\\".contains(c);
            (colon || pattern.contains(odd))
                .then_some("a name such as *.bank.example, without https:// and without a path or a port")
        }
        Match::Url => (!may_be_an_address(pattern))
            .then_some("a whole address, such as https://bank.example/private/*, or a * in front"),
    }
}

/// By what stands before the first star: a scheme, or the beginning of one that pages have. Others are never stored, but
/// what is refused of them is shown among the failed, unless a rule drops it.
fn may_be_an_address(pattern: &str) -> bool {
    let (fixed, star) = pattern.split_once('*').map_or((pattern, false), |(fixed, _)| (fixed, true));
    let fixed = fixed.to_lowercase();
    let is_scheme = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let has_scheme =
        fixed.split_once("://").is_some_and(|(scheme, _)| !scheme.is_empty() && is_scheme(scheme));
    let may_go_on = |scheme: &&str| star && scheme.starts_with(&fixed);
    has_scheme || fixed.starts_with("about:") || ["http://", "https://"].iter().any(may_go_on)
}

/// `bücher.example` is written `xn--…` in an address; a star is carried across as a name of its own.
fn host_pattern(pattern: &str) -> String {
    const STAR: &str = "star-0-star";
    let pattern = pattern.trim().to_lowercase();
    let pattern = pattern.strip_suffix('.').unwrap_or(&pattern);
    let letters =
        (!pattern.is_ascii()).then(|| Url::parse(&format!("http://{}/", pattern.replace('*', STAR))));
    let host = letters.and_then(Result::ok).and_then(|url| Some(url.host_str()?.replace(STAR, "*")));
    host.unwrap_or_else(|| pattern.to_owned())
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
    fn a_rule_that_fits_no_page_is_known() {
        let fits = |of, pattern: &str| cannot_match(&rule(of, pattern, Action::Drop)).is_none();
        for pattern in
            ["bank.example", "*.bank.example", " bücher.example. ", "[::1]", "127.0.0.1", "*bank*", "*"]
        {
            assert!(fits(Match::Host, pattern), "{pattern}");
        }
        for pattern in [
            "https://bank.example",
            "bank.example/login",
            "localhost:3000",
            "my bank.example",
            "::1",
            "me@bank.example",
            "x?y",
        ] {
            assert!(!fits(Match::Host, pattern), "{pattern}");
        }
        for pattern in [
            "https://x.example/*",
            "HTTP://x/",
            "*token=*",
            "http*://x/*",
            "https:/*",
            " https://x/ ",
            "file://*",
        ] {
            assert!(fits(Match::Url, pattern), "{pattern}");
        }
        for pattern in ["bank.example/*", "www.*", "https:", "//bank.example/*", "localhost:3000/*", "://x"] {
            assert!(!fits(Match::Url, pattern), "{pattern}");
        }
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
    fn it_judges_as_the_extension_does() {
        let cases = include_str!("../../../extension/companion/test/rule-cases.json");
        let cases: Vec<(Match, String, String, bool)> = serde_json::from_str(cases).unwrap();
        assert!(cases.len() > 20);
        for (by, pattern, url, dropped) in cases {
            let rules = [rule(by, &pattern, Action::Drop)];
            assert_eq!(action(&rules, &url) == Some(Action::Drop), dropped, "{by:?} {pattern:?} {url}");
        }
    }

    #[test]
    fn an_aggregate_loses_every_spelling_of_a_dropped_host_and_the_domain_of_a_dropped_address() {
        let kept = |by, pattern, raw: &str| {
            let rules = [rule(by, pattern, Action::Drop)];
            apply(&rules, Kind::TabAggregate, raw, &mut Dropped::default()).unwrap().into_owned()
        };
        let durations =
            r#"{"domainDurations":{"www.bücher.example":1,"WWW.xn--bcher-kva.example.":2,"x":3}}"#;
        assert_eq!(kept(Match::Host, "*.bücher.example", durations), r#"{"domainDurations":{"x":3}}"#);
        let part = r#"{"n":1,"currentUrl":"https://b.example/private/a","currentDomain":"b.example","domainDurations":{"b.example":1}}"#;
        assert_eq!(
            kept(Match::Url, "https://b.example/private/*", part),
            r#"{"n":1,"domainDurations":{"b.example":1}}"#
        );
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
