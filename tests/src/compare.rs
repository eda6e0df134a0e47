//! The records at the backend against what was done ([`crate::stays`]): exact, each once, each right. The error says all
//! that is not.
//!
//! A visit is right when it has the stay's address, one of the titles its page may have had, the stay before it whose
//! page opened the tab, and a duration and an active time within a second of what the spans allow. An aggregate is right when it is the
//! one of its tab's life, began and ended when that did, counts its pages, names the last of them, and its times add up:
//! for each domain, within a second, to what the visits of that tab say, and to no more than anybody was there.

use crate::stays::{Log, Span, Stay};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::Duration;

/// How far a time may be off beyond what the spans allow.
const OFF: Duration = Duration::from_secs(1);

/// All of it.
pub fn compare(log: &Log, visits: &[Value], aggregates: &[Value]) -> Result<()> {
    compare_visits(log, visits)?;
    compare_lives(log, visits, aggregates)
}

/// Which visit is which stay's.
fn paired<'a>(log: &Log, records: &'a [Value]) -> Result<HashMap<usize, &'a Value>> {
    let mut stays: Vec<(usize, &Stay)> = log.stays.iter().enumerate().collect();
    stays.sort_by_key(|(n, stay)| (without_place(&stay.url), *n));
    let mut visits: Vec<&Value> = records.iter().collect();
    visits.sort_by_key(|record| (url(record), record["startedAt"].as_u64()));
    let expected: Vec<&str> = stays.iter().map(|(_, stay)| without_place(&stay.url)).collect();
    let found: Vec<&str> = visits.iter().map(|record| url(record)).collect();
    ensure!(
        expected == found,
        "{} stays, {} visits; lost {:?}; too many {:?}",
        expected.len(),
        found.len(),
        lacking(&expected, &found),
        lacking(&found, &expected)
    );
    Ok(stays.into_iter().map(|(n, _)| n).zip(visits).collect())
}

fn lacking(these: &[&str], those: &[&str]) -> Vec<String> {
    let mut those = those.to_vec();
    let mut lacking = Vec::new();
    for this in these {
        match those.iter().position(|that| that == this) {
            Some(at) => drop(those.remove(at)),
            None => lacking.push((*this).to_owned()),
        }
    }
    lacking
}

pub fn compare_visits(log: &Log, records: &[Value]) -> Result<()> {
    let visits = paired(log, records)?;
    let mut wrong = String::new();
    for (n, stay) in log.stays.iter().enumerate() {
        let (name, visit) = (&stay.url, visits[&n]);
        let Some(to) = stay.to else {
            writeln!(wrong, "{name}: the script has not ended this stay")?;
            continue;
        };
        if visit["isActive"] != false || visit["endedAt"].is_null() {
            writeln!(wrong, "{name}: still open")?;
            continue;
        }
        let duration = milliseconds(&visit["duration"]).context("a duration")?;
        let (least, most) = between(stay.from, to);
        if duration < least || duration > most {
            writeln!(wrong, "{name}: {duration:?}, between {least:?} and {most:?} expected")?;
        }
        let title = visit["title"].as_str().unwrap_or_default();
        if !stay.titles.iter().any(|known| known == title) {
            writeln!(wrong, "{name}: called {title:?}, one of {:?} expected", stay.titles)?;
        }
        let opener = stay.opener.and_then(|opener| visits[&opener]["id"].as_str());
        if visit["source_page_visit_id"].as_str() != opener {
            writeln!(wrong, "{name}: opened by {}, expected {opener:?}", visit["source_page_visit_id"])?;
        }
        let active = milliseconds(&visit["activeDuration"]).context("an active duration")?;
        let (least, most) = in_front(stay);
        if active < least || active > most.min(duration) {
            writeln!(
                wrong,
                "{name}: active {active:?} of {duration:?}, between {least:?} and {most:?} expected"
            )?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

fn compare_lives(log: &Log, records: &[Value], aggregates: &[Value]) -> Result<()> {
    let visits = paired(log, records)?;
    let mut by_last_visit: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for aggregate in aggregates {
        let visit = aggregate["page_visit_id"].as_str().with_context(|| format!("no visit: {aggregate}"))?;
        by_last_visit.entry(visit).or_default().push(aggregate);
    }
    let mut wrong = String::new();
    for life in &log.lives {
        let stays: Vec<(&Stay, &Value)> = life.stays.iter().map(|n| (&log.stays[*n], visits[n])).collect();
        let Some((last, visit)) = stays.last() else { continue };
        let name = format!("the tab last on {}", last.url);
        let found = by_last_visit.remove(visit["id"].as_str().context("an id")?).unwrap_or_default();
        let [aggregate] = found.as_slice() else {
            writeln!(wrong, "{name}: {} aggregates: {found:?}", found.len())?;
            continue;
        };
        let mut expect = |what: &str, right: bool| -> Result<()> {
            if !right {
                writeln!(wrong, "{name}: {what} is wrong in {aggregate}; {life:?}")?;
            }
            Ok(())
        };
        expect("pageCount", aggregate["pageCount"].as_u64() == Some(stays.len() as u64))?;
        expect(
            "currentUrl",
            without_place(aggregate["currentUrl"].as_str().unwrap_or_default()) == without_place(&last.url),
        )?;
        expect("currentDomain", aggregate["currentDomain"] == visit["domain"])?;
        let at = |span: Span, field: &str| {
            let moment = milliseconds(&aggregate[field]);
            let (least, most) = ((log.began + span.before).saturating_sub(OFF), log.began + span.after + OFF);
            // What was there before the script looked may be as old as it likes.
            moment.is_some_and(|moment| (span.before.is_zero() || moment >= least) && moment <= most)
        };
        expect("startTime", at(life.from, "startTime"))?;
        match life.to {
            Some(to) => {
                expect("closed_at", at(to, "closed_at"))?;
                expect(
                    "lastActiveTime",
                    at(Span { before: life.from.before, after: to.after }, "lastActiveTime"),
                )?;
            }
            None => expect("closed_at", aggregate["closed_at"].is_null())?,
        }
        expect("isOpen", aggregate["isOpen"] == life.to.is_none())?;
        let domains = aggregate["domainDurations"].as_object().context("domainDurations")?;
        let mut all = Duration::ZERO;
        for (domain, time) in domains {
            let time = milliseconds(time).context("a time")?;
            all += time;
            let here = || stays.iter().filter(|(_, visit)| visit["domain"] == domain.as_str());
            let active: Duration =
                here().filter_map(|(_, visit)| milliseconds(&visit["activeDuration"])).sum();
            expect(
                &format!("the time of {domain} ({active:?} in its visits)"),
                time.abs_diff(active) <= OFF,
            )?;
            let most: Duration = here().filter_map(|(stay, _)| Some(between(stay.from, stay.to?).1)).sum();
            expect(&format!("the time of {domain} (at most {most:?})"), time <= most)?;
        }
        for (_, visit) in &stays {
            let named = visit["domain"].as_str().is_some_and(|domain| domains.contains_key(domain));
            let active = milliseconds(&visit["activeDuration"]).unwrap_or_default();
            expect("domainDurations", named || active <= OFF)?;
        }
        expect("totalActiveDuration", milliseconds(&aggregate["totalActiveDuration"]) == Some(all))?;
    }
    for aggregate in by_last_visit.values().flatten() {
        writeln!(wrong, "an aggregate too many: {aggregate}")?;
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

/// How long it may have been from the one to the other.
fn between(from: Span, to: Span) -> (Duration, Duration) {
    (to.before.saturating_sub(from.after).saturating_sub(OFF), to.after.saturating_sub(from.before) + OFF)
}

/// How long it may have been looked at.
fn in_front(stay: &Stay) -> (Duration, Duration) {
    let Some(front) = &stay.front else { return (Duration::ZERO, Duration::MAX) };
    let least = |(from, to): &(Span, Span)| to.before.saturating_sub(from.after);
    let most = |(from, to): &(Span, Span)| to.after.saturating_sub(from.before);
    (
        front.iter().map(least).sum::<Duration>().saturating_sub(OFF),
        front.iter().map(most).sum::<Duration>() + OFF,
    )
}

fn milliseconds(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_millis)
}

fn url(record: &Value) -> &str {
    without_place(record["url"].as_str().unwrap_or_default())
}

fn without_place(url: &str) -> &str {
    match url.split_once('#') {
        Some((page, place)) if !place.starts_with('/') => page,
        _ => url,
    }
}
