//! The columns of the two tables of records, each named once, with the value a row has for it.
//!
//! Both stores write from this list; they differ in how values travel. The columns that are the same for a whole batch
//! (user, version, device, times) are the stores' own.

use super::rows::{AggregateColumns, Row, VisitColumns};
use heyho_records::Kind;

pub type TextOf<C> = fn(&Row<C>) -> Option<&str>;

/// A column's name, and how to read its value from a row.
pub enum Column<C: 'static> {
    Text(&'static str, TextOf<C>),
    Whole(&'static str, fn(&Row<C>) -> Option<i64>),
    Real(&'static str, fn(&Row<C>) -> Option<f64>),
    Flag(&'static str, fn(&Row<C>) -> Option<bool>),
    Bytes(&'static str, fn(&Row<C>) -> &[u8]),
}

use Column::{Bytes, Flag, Real, Text, Whole};

impl<C> Column<C> {
    pub fn name(&self) -> &'static str {
        match self {
            Text(name, _) | Whole(name, _) | Real(name, _) | Flag(name, _) | Bytes(name, _) => name,
        }
    }
}

/// A kind of record, as its table.
pub trait Table: Sized + Sync + 'static {
    const KIND: Kind;
    const NAME: &'static str;
    /// What every kind has; source and id first.
    const COMMON: &'static [Column<Self>] = &[
        Text("source", |r| Some(&r.source)),
        Text("id", |r| Some(&r.id)),
        Whole("captured_at", |r| r.captured_at),
        Bytes("checksum", |r| &r.rank.checksum),
        Whole("revision", |r| Some(r.rank.revision)),
        Real("complete_1", |r| r.rank.completeness.to_columns()[0]),
        Real("complete_2", |r| r.rank.completeness.to_columns()[1]),
        Real("complete_3", |r| r.rank.completeness.to_columns()[2]),
        Text("record", |r| Some(&r.record)),
    ];
    /// What only this kind has.
    const OWN: &'static [Column<Self>];
    /// The visit that a row names: its row, once it is here, stands in `page_visit_row`.
    const VISIT: Option<TextOf<Self>>;

    fn columns() -> impl Iterator<Item = &'static Column<Self>> + Clone {
        Self::COMMON.iter().chain(Self::OWN)
    }
}

impl Table for VisitColumns {
    const KIND: Kind = Kind::PageVisit;
    const NAME: &'static str = "page_visits";
    const VISIT: Option<TextOf<Self>> = None;
    const OWN: &'static [Column<Self>] = &[
        Text("url", |r| r.columns.url.as_deref()),
        Text("host", |r| r.columns.host.as_deref()),
        Whole("visited_at", |r| r.columns.visited_at),
        Text("title", |r| r.columns.title.as_deref()),
        Text("domain", |r| r.columns.domain.as_deref()),
        Whole("tab_id", |r| r.columns.tab_id),
        Whole("ended_at", |r| r.columns.ended_at),
        Whole("duration_ms", |r| r.columns.duration_ms),
        Whole("active_duration_ms", |r| r.columns.active_duration_ms),
        Flag("is_active", |r| r.columns.is_active),
        Real("engagement_rate", |r| r.columns.engagement_rate),
        Whole("last_heartbeat", |r| r.columns.last_heartbeat),
        Text("source_page_visit_id", |r| r.columns.source_page_visit_id.as_deref()),
        Text("category", |r| r.columns.category.as_deref()),
        Real("category_confidence", |r| r.columns.category_confidence),
        Text("category_method", |r| r.columns.category_method.as_deref()),
        Text("anonymous_client_id", |r| r.columns.anonymous_client_id.as_deref()),
    ];
}

impl Table for AggregateColumns {
    const KIND: Kind = Kind::TabAggregate;
    const NAME: &'static str = "tab_aggregates";
    const VISIT: Option<TextOf<Self>> = Some(|r| r.columns.page_visit_id.as_deref());
    const OWN: &'static [Column<Self>] = &[
        Text("page_visit_id", |r| r.columns.page_visit_id.as_deref()),
        Whole("tab_id", |r| r.columns.tab_id),
        Whole("started_at", |r| r.columns.started_at),
        Whole("last_active_at", |r| r.columns.last_active_at),
        Whole("total_active_ms", |r| r.columns.total_active_ms),
        Whole("page_count", |r| r.columns.page_count),
        Text("current_url", |r| r.columns.current_url.as_deref()),
        Text("current_host", |r| r.columns.current_host.as_deref()),
        Text("current_domain", |r| r.columns.current_domain.as_deref()),
        Text("domain_durations", |r| r.columns.domain_durations.as_deref()),
        Text("domains", |r| Some(&r.columns.domains)),
        Real("total_time_seconds", |r| r.columns.total_time_seconds),
        Real("active_time_seconds", |r| r.columns.active_time_seconds),
        Real("scroll_depth_percent", |r| r.columns.scroll_depth_percent),
        Whole("closed_at", |r| r.columns.closed_at),
        Flag("is_open", |r| r.columns.is_open),
        Text("anonymous_client_id", |r| r.columns.anonymous_client_id.as_deref()),
    ];
}
