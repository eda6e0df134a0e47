//! From an accepted record to the row that is stored.
//!
//! A typed column is null where the record says nothing, or where what it says does not fit (2.4e21 pages is no
//! 64-bit number): the record's text holds the truth, the columns only what can be asked by SQL.

use crate::store::rows::{AggregateColumns, Rank, Row, VisitColumns};
use heyho_records::fault::planted;
use heyho_records::json::Json;
use heyho_records::record::MAX_ID;
use heyho_records::{Record, time};

pub fn visit(record: Record) -> Row<VisitColumns> {
    let tree = &record.tree;
    let url = text(tree, "url");
    let columns = VisitColumns {
        host: url.as_deref().and_then(host),
        url,
        visited_at: record.facts.visited_at,
        title: text(tree, "title"),
        domain: text(tree, "domain"),
        tab_id: whole(tree, "tabId", 1.0),
        ended_at: moment(tree, "endedAt"),
        duration_ms: whole(tree, "durationSeconds", 1_000.0).or_else(|| whole(tree, "duration", 1.0)),
        active_duration_ms: whole(tree, "activeDuration", 1.0),
        is_active: flag(tree, "isActive"),
        engagement_rate: real(tree, "engagementRate"),
        last_heartbeat: moment(tree, "lastHeartbeat"),
        source_page_visit_id: text(tree, "source_page_visit_id"),
        category: text(tree, "category"),
        category_confidence: real(tree, "categoryConfidence"),
        category_method: text(tree, "categoryMethod"),
        anonymous_client_id: text(tree, "anonymousClientId"),
    };
    row(record, columns.visited_at, columns)
}

pub fn aggregate(record: Record) -> Row<AggregateColumns> {
    let tree = &record.tree;
    let current_url = text(tree, "currentUrl");
    let columns = AggregateColumns {
        // a longer one can name no visit
        page_visit_id: record.facts.page_visit_id.clone().filter(|id| id.chars().count() <= MAX_ID),
        tab_id: whole(tree, "tabId", 1.0),
        started_at: record.facts.start_time,
        last_active_at: record.facts.last_active,
        total_active_ms: whole(tree, "totalActiveDuration", 1.0),
        page_count: whole(tree, "pageCount", 1.0),
        current_host: current_url.as_deref().and_then(host),
        current_url,
        current_domain: text(tree, "currentDomain"),
        domain_durations: tree.get("domainDurations").map(Json::canonical),
        domains: serde_json::json!(domains(tree)).to_string(),
        total_time_seconds: real(tree, "total_time_seconds"),
        active_time_seconds: real(tree, "active_time_seconds"),
        scroll_depth_percent: real(tree, "scroll_depth_percent"),
        closed_at: moment(tree, "closed_at"),
        is_open: flag(tree, "isOpen"),
        anonymous_client_id: text(tree, "anonymousClientId"),
    };
    row(record, columns.started_at, columns)
}

fn row<C>(record: Record, captured_at: Option<i64>, columns: C) -> Row<C> {
    Row {
        source: text(&record.tree, "companionSource").unwrap_or_default(),
        rank: Rank {
            completeness: record.completeness,
            revision: whole(&record.tree, "companionRevision", 1.0).unwrap_or(0),
            checksum: record.digest,
        },
        id: record.id,
        captured_at,
        record: if planted("read-anew") { record.tree.canonical() } else { record.text },
        columns,
    }
}

fn text(tree: &Json, name: &str) -> Option<String> {
    tree.get(name).and_then(Json::as_str).map(str::to_owned)
}

fn flag(tree: &Json, name: &str) -> Option<bool> {
    match tree.get(name) {
        Some(Json::Bool(b)) => Some(*b),
        _ => None,
    }
}

fn moment(tree: &Json, name: &str) -> Option<i64> {
    tree.get(name).and_then(|value| time::millis(value).ok())
}

fn real(tree: &Json, name: &str) -> Option<f64> {
    tree.get(name).and_then(Json::as_f64).filter(|n| n.is_finite())
}

/// A number, scaled, without its fraction; None where it is not exact in 64 bits.
fn whole(tree: &Json, name: &str, scale: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    let value = (real(tree, name)? * scale).trunc();
    (value.abs() <= EXACT).then_some(value as i64)
}

/// A domain as hosts are spelled: in lower case, in punycode, without a port, without the dot that may end it. What is no
/// host is only spelled in lower case.
pub fn domain(text: &str) -> String {
    let text = text.trim();
    let text = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => text,
    };
    let text = text.trim_matches('.');
    url::Host::parse(text).map_or_else(|_| text.to_lowercase(), |host| host.to_string())
}

/// Where the tab was: the keys of `domainDurations`, the current domain, the host of the current address.
fn domains(tree: &Json) -> Vec<String> {
    let timed = match tree.get("domainDurations") {
        Some(Json::Object(entries)) => entries.iter().map(|(name, _)| domain(name)).collect(),
        _ => Vec::new(),
    };
    let mut all: Vec<String> = timed
        .into_iter()
        .chain(text(tree, "currentDomain").as_deref().map(domain))
        .chain(text(tree, "currentUrl").as_deref().and_then(host))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The host of a URL as deletion by domain compares it: in lower case, without the dot that may end it.
pub fn host(url: &str) -> Option<String> {
    /// DNS carries no longer name; of one that is, the end keeps it findable by its domain.
    const MAX_HOST: usize = 253;
    let parsed = url::Url::parse(url).ok()?;
    let host = parsed.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    let skip = host.chars().count().saturating_sub(MAX_HOST);
    (!host.is_empty()).then(|| host.chars().skip(skip).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_records::Kind;

    #[test]
    fn what_does_not_fit_is_null_and_the_text_keeps_it() {
        let given = r#"{"startTime":1700000000000,"tabId":5,"pageCount":2.4e21,"currentUrl":"https://WWW.Example.com/x"}"#;
        let row = aggregate(Record::read(Kind::TabAggregate, given).unwrap());
        assert_eq!(row.columns.page_count, None);
        assert_eq!(row.columns.current_host.as_deref(), Some("www.example.com"));
        assert_eq!(row.record, given);
        assert_eq!(row.id, "agg_1700000000000_5");
    }

    #[test]
    fn a_domain_has_one_spelling() {
        for (given, spelled) in [
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example.", "xn--bcher-kva.example"),
            ("Example.COM", "example.com"),
            ("example.com.:8080", "example.com"),
            ("[::1]", "[::1]"),
            ("no host: at all", "no host: at all"),
            ("", ""),
        ] {
            assert_eq!(domain(given), spelled);
        }
        let given = r#"{"startTime":1,"tabId":5,"domainDurations":{"Bücher.example":1,"xn--bcher-kva.example":2},"currentDomain":"bücher.example."}"#;
        let row = aggregate(Record::read(Kind::TabAggregate, given).unwrap());
        assert_eq!(row.columns.domains, r#"["xn--bcher-kva.example"]"#);
    }

    #[test]
    fn a_visit_fills_its_columns() {
        let given = r#"{"id":"v","url":"https://a.example/","startedAt":"2024-01-15T10:30:00","durationSeconds":1.5,"isActive":true,"companionSource":"ext#p","companionRevision":3}"#;
        let row = visit(Record::read(Kind::PageVisit, given).unwrap());
        assert_eq!(row.columns.visited_at, Some(1_705_314_600_000));
        assert_eq!(row.columns.duration_ms, Some(1_500));
        assert_eq!(row.columns.is_active, Some(true));
        assert_eq!((row.source.as_str(), row.rank.revision), ("ext#p", 3));
    }
}
