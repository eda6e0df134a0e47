//! Finding the records an answer names among those that were sent.
//!
//! A name that could mean several records, or none, is passed over: setting the wrong record aside is worse
//! than asking again. Known entries: the contract's `{kind,index,id,field,error}`, S0's `{id,error}`, HeyHo's
//! `{record_id,record_type,field,message}`.

use crate::body::{self, Object};
use crate::task::BatchItem;
use heyho_records::Kind;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A record the backend calls invalid, and what it says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Into the items that were sent.
    pub index: usize,
    pub field: Option<String>,
    pub message: String,
}

/// Every item that is named, once, in the order of the items.
pub fn named_in(object: &Object, items: &[BatchItem]) -> Vec<Named> {
    let mut found = BTreeMap::new();
    for entry in object.entries().filter_map(Value::as_object) {
        let Some(index) = find(entry, items) else { continue };
        found.entry(index).or_insert_with(|| Named {
            index,
            field: first(entry, &["field"]).and_then(body::text),
            message: first(entry, &["error", "message", "errors"])
                .and_then(body::text)
                .unwrap_or_else(|| "no reason given".to_owned()),
        });
    }
    found.into_values().collect()
}

/// Something is refused that none of these items is: an answer to something else, or one nobody understands.
pub fn names_another(object: &Object, items: &[BatchItem]) -> bool {
    object.entries().any(|entry| entry.as_object().is_none_or(|entry| find(entry, items).is_none()))
}

fn find(entry: &Map<String, Value>, items: &[BatchItem]) -> Option<usize> {
    let kind = first(entry, &["kind", "record_type", "type"]).and_then(Value::as_str).and_then(kind_of);
    let id = first(entry, &["id", "record_id", "recordId"]).and_then(id_text);
    let by_index = || {
        let place = usize::try_from(first(entry, &["index"])?.as_u64()?).ok()?;
        let mut of_kind = items.iter().enumerate().filter(|(_, item)| Some(item.row.kind) == kind);
        of_kind.nth(place).map(|(index, _)| index)
    };
    let Some(id) = id else { return by_index() };
    let fits = |item: &BatchItem| item.id == id && kind.is_none_or(|kind| kind == item.row.kind);
    let mut fitting = items.iter().enumerate().filter(|(_, item)| fits(item)).map(|(index, _)| index);
    match (fitting.next(), fitting.next()) {
        (Some(index), None) => Some(index),
        // Two sources may use one id: only the place in the request tells them apart.
        (Some(_), Some(_)) => by_index().filter(|index| items.get(*index).is_some_and(fits)),
        (None, _) => None,
    }
}

fn first<'a>(entry: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| entry.get(*name).filter(|value| !value.is_null()))
}

/// Some backends give the id of a record as a number.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `pageVisit`, `page_visit`, `PageVisit`, `page_visits` …
fn kind_of(name: &str) -> Option<Kind> {
    let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    match plain.to_ascii_lowercase().trim_end_matches('s') {
        "pagevisit" | "visit" => Some(Kind::PageVisit),
        "tabaggregate" | "aggregate" => Some(Kind::TabAggregate),
        _ => None,
    }
}
