//! HeyHo's published service as it behaves (field notes), and the core in baseline mode against it, with the
//! real requests of the planner.

use super::*;
use crate::known_good::KnownGood;
use crate::plan::{Anchor, Candidate, Envelope, Tab, plan};
use serde_json::{Value, json};

/// A row of the buffer.
struct Row {
    row: RowRef,
    source: String,
    life: String,
    tab: String,
    id: String,
    text: String,
    opener: Option<String>,
    attempts: u32,
}

/// The buffer: what waits, the batch in flight with its bytes, and an anchor for each tab life.
#[derive(Default)]
struct Buffer {
    waiting: BTreeMap<i64, Row>,
    in_flight: Option<(Batch, Vec<u8>)>,
    anchors: BTreeMap<String, (RowRef, String, String, String)>,
    set_aside: BTreeMap<i64, Reason>,
    known_good: KnownGood,
    batches: u64,
}

impl Buffer {
    fn add(&mut self, kind: Kind, profile: u8, tab: u64, record: &Value) {
        let seq = self.waiting.len() as i64;
        let source = format!("chrome-extension://x/#{profile}");
        let life = format!("{source}/{tab}");
        let start = record["startTime"].as_u64().unwrap_or_default();
        let id = record["id"].as_str().map_or_else(|| format!("agg_{start}_{tab}"), str::to_owned);
        let row = RowRef { kind, seq, revision: 1 };
        let text = record.to_string();
        let opener = record["source_page_visit_id"].as_str().map(str::to_owned);
        let tab = tab.to_string();
        self.waiting.insert(seq, Row { row, source, life, tab, id, text, opener, attempts: 0 });
    }

    fn take(&mut self, limits: &BatchLimits) -> Taken {
        if let Some((batch, _)) = &self.in_flight {
            return Taken { batch: Some(batch.clone()), ..Taken::default() };
        }
        let picked = |row: &&Row| match &limits.pick {
            Pick::Oldest { skip } => !skip.iter().any(|it| it.key() == row.row.key()),
            Pick::Rows(rows) => rows.iter().any(|it| it.key() == row.row.key()),
        };
        let candidates = self.waiting.values().filter(picked).map(|row| Candidate {
            row: row.row,
            source: &row.source,
            id: &row.id,
            id_derived: row.row.kind == Kind::TabAggregate,
            page_visit_id: None,
            attempts: row.attempts,
            text: &row.text,
            tab: Some(Tab { id: &row.tab, life: &row.life }),
            opener: row
                .opener
                .as_deref()
                .filter(|id| self.waiting.values().any(|it| it.source == row.source && it.id == *id)),
            anchor: self
                .anchors
                .get(&row.life)
                .filter(|_| row.row.kind == Kind::TabAggregate)
                .map(|(row, source, id, text)| Anchor { row: *row, source, id, text }),
        });
        self.batches += 1;
        let batch_id = format!("b{}", self.batches);
        let envelope = Envelope { batch_id: batch_id.clone(), ..Envelope::default() };
        let plan = plan(&envelope, limits, candidates);
        let bytes = plan.body.len();
        self.in_flight =
            (!plan.items.is_empty()).then_some((Batch { batch_id, items: plan.items, bytes }, plan.body));
        Taken {
            batch: self.in_flight.as_ref().map(|(batch, _)| batch.clone()),
            unsendable: plan.unsendable,
            behind: false,
        }
    }

    fn vouch(&mut self, kind: Kind, heyho: &mut HeyHo) -> Option<Vouched> {
        let (batch, body) = self.known_good.request(kind, "vouch", "d")?;
        Some(Vouched { reply: heyho.sync(&body), batch })
    }

    fn settle(&mut self, settlement: Settlement) {
        if let Some((batch, body)) = &self.in_flight {
            self.known_good.learn(batch, body, &settlement.confirm);
        }
        for row in settlement.confirm {
            let it = self.waiting.remove(&row.seq).expect("only what waits is confirmed");
            if row.kind == Kind::PageVisit {
                self.anchors.entry(it.life).or_insert((row, it.source, it.id, it.text));
            }
        }
        for (row, reason) in settlement.set_aside {
            assert!(self.waiting.remove(&row.seq).is_some());
            self.set_aside.insert(row.seq, reason);
        }
        for row in settlement.count {
            self.waiting.get_mut(&row.seq).expect("it waits").attempts += 1;
        }
        assert!(settlement.forget_anchors.is_empty(), "an anchor was saved once, and is saved again");
        if settlement.batch == BatchFate::End {
            self.in_flight = None;
        }
    }
}

/// HeyHo's service: upserts by id alone, ties an aggregate to the first visit of its tab in the same request.
#[derive(Default)]
struct HeyHo {
    visits: BTreeSet<String>,
    aggregates: BTreeMap<String, String>,
    requests: u64,
}

impl HeyHo {
    fn sync(&mut self, body: &[u8]) -> Reply {
        self.requests += 1;
        if self.requests.is_multiple_of(300) {
            return Ok(answer(401, r#"{"success":false,"message":"Unauthorized"}"#));
        }
        let body: Value = serde_json::from_slice(body).expect("a request is JSON");
        let (visits, aggregates) = (list(&body, "pageVisits"), list(&body, "tabAggregates"));
        assert!(visits.len() <= 100 && aggregates.len() <= 100);
        // Two rows of one id in one upsert are an error of the database.
        for records in [&visits, &aggregates] {
            if records.iter().map(id).collect::<BTreeSet<_>>().len() != records.len() {
                return Ok(answer(500, r#"{"success":false,"message":"Data sync failed"}"#));
            }
        }
        if visits.len() + aggregates.len() > 1_000 {
            return Ok(answer(400, r#"{"success":false,"message":"Too many records","errors":[]}"#));
        }
        let bad = |visit: &Value| visit["url"].as_str().is_none_or(|url| url.contains('|'));
        let mut errors = Vec::new();
        let mut saved_visits = Vec::new();
        let mut known = self.visits.clone();
        for visit in &visits {
            // A breach of a foreign key fails the whole request.
            if visit["source_page_visit_id"].as_str().is_some_and(|opener| !known.contains(opener)) {
                return Ok(answer(500, r#"{"success":false,"message":"Data sync failed"}"#));
            }
            if !bad(visit) {
                known.insert(id(visit));
            }
            assert!(visit.get("visited_at").or_else(|| visit.get("startedAt")).is_some());
            if bad(visit) {
                errors.push(json!({"record_id": visit["id"], "record_type": "PageVisit", "field": "url",
                    "message": "is invalid"}));
            } else {
                saved_visits.push(visit);
            }
        }
        let mut saved_aggregates = Vec::new();
        for aggregate in &aggregates {
            let first = visits.iter().find(|visit| visit["tabId"] == aggregate["tabId"]);
            match first {
                Some(visit) if bad(visit) => {
                    return Ok(answer(500, r#"{"success":false,"message":"Data sync failed"}"#));
                }
                Some(visit) if aggregate["totalActiveDuration"].as_f64() >= Some(0.0) => {
                    assert_eq!(
                        visit["companionSource"], aggregate["companionSource"],
                        "tabs of two profiles mixed"
                    );
                    saved_aggregates.push((aggregate, visit));
                }
                _ => {}
            }
        }
        if saved_visits.is_empty() && saved_aggregates.is_empty() && !errors.is_empty() {
            return Ok(answer(400, r#"{"success":false,"message":"All records were rejected","errors":[]}"#));
        }
        let counts = json!({"page_visits_synced": saved_visits.len(), "tab_aggregates_synced": saved_aggregates.len(),
            "rejected_records_count": errors.len(), "data_quality_score": 97.5, "validation_errors": errors});
        for visit in saved_visits {
            self.visits.insert(id(visit));
        }
        for (aggregate, visit) in saved_aggregates {
            self.aggregates.insert(id(aggregate), id(visit));
        }
        Ok(answer(200, &json!({"success": true, "message": "ok", "data": counts}).to_string()))
    }
}

fn list(body: &Value, name: &str) -> Vec<Value> {
    body[name].as_array().expect("a list").clone()
}

fn id(record: &Value) -> String {
    record["id"].as_str().expect("an id").to_owned()
}

#[test]
fn heyhos_service_gets_every_good_record_and_every_bad_one_is_set_aside() {
    let (mut buffer, mut heyho) = (Buffer::default(), HeyHo::default());
    let (mut good, mut bad) = ((BTreeSet::new(), BTreeSet::new()), BTreeSet::new());
    // Two profiles with the same tab ids. Each tab: visits, its aggregate, and for some more visits later.
    let mut draw = 0;
    let mut chance = |of_hundred: f64| {
        draw += 1;
        jitter(7, draw) * 100.0 < of_hundred
    };
    let mut number = 0;
    let mut openers = Vec::new();
    for tab in 0..850_u64 {
        for profile in [1, 2] {
            let mut anchored = false;
            for _ in 0..2 {
                number += 1;
                let poison = chance(3.0);
                let url = if poison { "https://x.example/a|b" } else { "https://x.example/" };
                let id = format!("v{number}");
                let mut record =
                    json!({"id": id, "visitId": id, "url": url, "timestamp": number, "tabId": tab % 400});
                // Every seventh visit was opened by one whose record comes after it (the page stayed open longer).
                if number % 7 == 0 && !poison {
                    record["source_page_visit_id"] = json!(format!("late-{number}"));
                    openers.push((profile, number));
                }
                buffer.add(Kind::PageVisit, profile, tab % 400, &record);
                if poison {
                    bad.insert(buffer.waiting.len() as i64 - 1);
                } else {
                    good.0.insert(id);
                    anchored = true;
                }
            }
            for (profile, number) in openers.drain(..) {
                let id = format!("late-{number}");
                let record = json!({"id": id, "url": "https://x.example/", "timestamp": number});
                buffer.add(Kind::PageVisit, profile, 1_000_000 + number, &record);
                good.0.insert(id);
            }
            let negative = chance(2.0);
            let start = tab * 10 + u64::from(profile);
            let record = json!({"tabId": tab % 400, "startTime": start, "pageCount": 2.4e21,
                "totalActiveDuration": if negative { -5 } else { 5_000 }});
            buffer.add(Kind::TabAggregate, profile, tab % 400, &record);
            // A tab all of whose visits are refused has nothing its aggregate could be tied to, unless the same
            // tab was seen before.
            let seen_before = tab >= 400;
            if negative || !(anchored || seen_before) {
                bad.insert(buffer.waiting.len() as i64 - 1);
            } else {
                good.1.insert(format!("agg_{start}_{}", tab % 400));
            }
        }
    }
    assert!(buffer.waiting.len() > 5_000);

    let mut core = Core::new(Policy::default());
    let (mut now, mut step, mut runs) = (0, 0, 0);
    while !buffer.waiting.is_empty() && runs < 50 {
        runs += 1;
        let mut task = core.begin(Trigger::Periodic, now, jitter(runs, 0));
        let end = loop {
            step += 1;
            let outcome = match task {
                Task::Finish(end) => break end,
                Task::LearnCapabilities => Outcome::Reply(Ok(answer(404, ""))),
                Task::TakeBatch(limits) => Outcome::Taken(buffer.take(&limits)),
                Task::Send { gzip } => {
                    assert!(!gzip, "request bodies are not inflated there");
                    let (_, body) = buffer.in_flight.as_ref().expect("a batch is in flight");
                    Outcome::Reply(heyho.sync(body))
                }
                Task::Settle(settlement) => {
                    buffer.settle(settlement);
                    Outcome::Settled
                }
                Task::RefreshToken => Outcome::Refreshed(Refreshed::Yes),
                Task::Check => Outcome::Reply(Ok(answer(200, r#"{"data":{"id":1}}"#))),
                Task::Vouch { kind } => Outcome::Vouched(buffer.vouch(kind, &mut heyho)),
                Task::Wait { until_ms, .. } => {
                    now = until_ms;
                    Outcome::Woken
                }
            };
            task = core.told(outcome, now, jitter(runs, step));
        };
        now = end.next_at_ms.expect("another run follows");
    }
    assert_eq!(buffer.waiting.len(), 0, "after {runs} runs and {} requests", heyho.requests);
    assert_eq!(heyho.visits, good.0);
    assert_eq!(heyho.aggregates.keys().cloned().collect::<BTreeSet<_>>(), good.1);
    assert_eq!(buffer.set_aside.keys().copied().collect::<BTreeSet<_>>(), bad);
}
