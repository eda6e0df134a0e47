//! One record of each kind that the backend has confirmed in this run, as it was sent. It is sent once more to learn
//! whether the backend still takes what it took before ([`crate::task::Task::Vouch`]): the same content changes
//! nothing there, neither by the contract nor where records are written over by their id.
//!
//! - An aggregate brings the visit of its tab along, to which HeyHo's service ties it.
//! - What was confirmed again since, in a newer version, is never sent from here.

use crate::task::{Batch, BatchItem, Role, RowRef};
use crate::wire;
use heyho_records::Kind;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct KnownGood(BTreeMap<Kind, Vec<Record>>);

#[derive(Debug, Clone)]
struct Record {
    item: BatchItem,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    page_visits: Vec<&'a RawValue>,
    #[serde(borrow)]
    tab_aggregates: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tab {
    #[serde(rename = "tabId")]
    id: Option<Value>,
}

impl KnownGood {
    /// Of this request these were confirmed.
    pub fn learn(&mut self, batch: &Batch, body: &[u8], confirmed: &[RowRef]) {
        let good = |item: &&BatchItem| item.role == Role::Anchor || confirmed.contains(&item.row);
        let again = |record: &Record| batch.items.iter().filter(good).any(|item| item.id == record.item.id);
        self.0.retain(|_, records| !records.iter().any(again));
        // A body that cannot be read vouches for nothing.
        let Ok(lists) = serde_json::from_slice::<Body<'_>>(body) else { return };
        let records = |kind: Kind, texts: &[&RawValue]| -> Vec<Record> {
            let items = batch.items.iter().filter(|item| item.row.kind == kind);
            let all = items.zip(texts).filter(|(item, _)| good(item));
            all.map(|(item, text)| Record { item: item.clone(), text: text.get().to_owned() }).collect()
        };
        let visits = records(Kind::PageVisit, &lists.page_visits);
        if let Some(visit) = visits.iter().rfind(|it| it.item.role == Role::Own) {
            self.0.insert(Kind::PageVisit, vec![visit.clone()]);
        }
        if let Some(aggregate) = records(Kind::TabAggregate, &lists.tab_aggregates).pop() {
            let tab = tab_of(&aggregate.text);
            let visit = visits.into_iter().find(|visit| tab.is_some() && tab_of(&visit.text) == tab);
            self.0.insert(Kind::TabAggregate, visit.into_iter().chain([aggregate]).collect());
        }
    }

    /// A request with one of this kind.
    pub fn request(&self, kind: Kind, batch_id: &str, device_id: &str) -> Option<(Batch, Vec<u8>)> {
        let records = self.0.get(&kind)?;
        let mut body = String::from("{");
        wire::member(&mut body, "batchId", &wire::quoted(batch_id));
        wire::member(&mut body, "deviceId", &wire::quoted(device_id));
        for (name, kind) in [("pageVisits", Kind::PageVisit), ("tabAggregates", Kind::TabAggregate)] {
            let of_kind = records.iter().filter(|record| record.item.row.kind == kind);
            let texts: Vec<&str> = of_kind.map(|record| record.text.as_str()).collect();
            wire::member(&mut body, name, &format!("[{}]", texts.join(",")));
        }
        body.push('}');
        let own = |record: &Record| BatchItem { role: Role::Own, ..record.item.clone() };
        let items = records.iter().map(own).collect();
        Some((Batch { batch_id: batch_id.to_owned(), items, bytes: body.len() }, body.into_bytes()))
    }
}

fn tab_of(text: &str) -> Option<Value> {
    serde_json::from_str::<Tab>(text).ok()?.id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, seq: i64, role: Role) -> BatchItem {
        BatchItem { row: RowRef { kind, seq, revision: 1 }, id: format!("r{seq}"), attempts: 0, role }
    }

    #[test]
    fn an_aggregate_brings_the_visit_of_its_tab_and_nothing_older_is_sent() {
        let items = vec![
            item(Kind::PageVisit, -7, Role::Anchor),
            item(Kind::PageVisit, 1, Role::Own),
            item(Kind::PageVisit, 2, Role::Own),
            item(Kind::TabAggregate, 3, Role::Own),
        ];
        let rows: Vec<RowRef> = items.iter().map(|item| item.row).collect();
        let batch = Batch { batch_id: "b".into(), items, bytes: 0 };
        let body = br#"{"batchId":"b","pageVisits":[{"tabId":9,"a":1},{"tabId":1},{"tabId":2}],
            "tabAggregates":[{"tabId":9,"startTime":1}]}"#;
        let mut good = KnownGood::default();
        assert!(good.request(Kind::PageVisit, "n", "d").is_none());
        good.learn(&batch, body, &rows[1..]);
        let (sent, body) = good.request(Kind::TabAggregate, "n", "d").unwrap();
        let text = r#"{"batchId":"n","deviceId":"d","pageVisits":[{"tabId":9,"a":1}],"tabAggregates":[{"tabId":9,"startTime":1}]}"#;
        assert_eq!((std::str::from_utf8(&body).unwrap(), sent.bytes), (text, text.len()));
        assert!(sent.items.iter().all(|item| item.role == Role::Own));
        let (_, body) = good.request(Kind::PageVisit, "n", "d").unwrap();
        assert!(std::str::from_utf8(&body).unwrap().contains(r#""pageVisits":[{"tabId":2}]"#));

        // The visit behind the aggregate comes in a newer version: the older one is not sent any more.
        let newer = BatchItem { id: "r-7".into(), ..item(Kind::PageVisit, 20, Role::Own) };
        let row = newer.row;
        let batch = Batch { batch_id: "c".into(), items: vec![newer], bytes: 0 };
        good.learn(&batch, br#"{"pageVisits":[{"tabId":9,"a":2}],"tabAggregates":[]}"#, &[row]);
        assert!(good.request(Kind::TabAggregate, "n", "d").is_none());
        assert!(good.request(Kind::PageVisit, "n", "d").is_some());
    }
}
