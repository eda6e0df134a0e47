//! A browser profile: makes records whose versions rise, and keeps account of the answers.

use crate::host::{Host, frame};
use crate::ledger::Ledger;
use crate::world::Dice;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What an ack of a frame makes safe: ids and their versions.
pub type Promise = Vec<(String, i64)>;

pub struct Profile {
    pub name: String,
    pub dice: Dice,
    /// Rises with every record: the versions of one id rise.
    version: i64,
    frames: i64,
    ledger: Ledger,
    /// Frames that were sent and have no answer yet.
    pub open: BTreeMap<i64, Promise>,
    pub acked: u64,
    pub refused: u64,
    /// For which reasons a frame may be refused here.
    pub may_refuse: &'static [&'static str],
}

impl Profile {
    pub fn new(name: String, dice: Dice, ledger: &Ledger) -> Profile {
        Profile {
            name,
            dice,
            version: 0,
            frames: 0,
            ledger: ledger.clone(),
            open: BTreeMap::new(),
            acked: 0,
            refused: 0,
            may_refuse: &["buffer_busy"],
        }
    }

    /// A frame of random records: its number, its bytes, and what an ack of it makes safe.
    pub fn frame(&mut self) -> (i64, Vec<u8>, Promise) {
        let (mut visits, mut aggregates, mut safe) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=self.dice.roll(12) {
            self.version += 1;
            let version = self.version;
            let padding = "x".repeat(self.dice.roll(1_500) as usize);
            match self.dice.roll(20) {
                0 => {
                    let id = format!("bad{version}");
                    visits.push(format!(r#"{{"id":"{id}","endedAt":{version}}}"#));
                    safe.push((id, version));
                }
                1..6 => {
                    let id = format!("t{}", self.dice.roll(8));
                    aggregates.push(format!(
                        r#"{{"id":"{id}","tabId":1,"startTime":1,"lastActiveTime":{version},"p":"{padding}"}}"#
                    ));
                    safe.push((id, version));
                }
                _ => {
                    let id = format!("v{}", self.dice.roll(40));
                    visits.push(format!(
                        r#"{{"id":"{id}","url":"http://a/","startedAt":1,"endedAt":{version},"p":"{padding}"}}"#
                    ));
                    safe.push((id, version));
                }
            }
        }
        self.frames += 1;
        let json = format!(
            r#"{{"type":"records","id":{},"pageVisits":[{}],"tabAggregates":[{}]}}"#,
            self.frames,
            visits.join(","),
            aggregates.join(",")
        );
        (self.frames, frame(&json), safe)
    }

    /// A random moment of at most so many microseconds, over before that when an answer comes.
    pub fn wait(&mut self, host: &Host, most: u64) {
        let moment = Duration::from_micros(self.dice.roll(most));
        if let Ok(answer) = host.answer_within(moment) {
            self.answered(&answer);
        }
    }

    pub fn answered(&mut self, answer: &Value) {
        match answer["type"].as_str() {
            Some("ack") => {
                let safe = self.open.remove(&answer["id"].as_i64().unwrap()).unwrap();
                let counts = ["stored", "updated", "unchanged"].map(|name| answer[name].as_u64().unwrap());
                let rejected = answer["rejected"].as_array().unwrap().len();
                assert_eq!(counts.iter().sum::<u64>() + rejected as u64, safe.len() as u64, "{answer}");
                self.acked += safe.len() as u64;
                self.ledger.note(&self.name, &safe);
            }
            Some("welcome") => {}
            // Nothing was stored, and nothing is promised.
            Some("nack") => {
                assert!(self.may_refuse.iter().any(|code| answer["code"] == *code), "{answer}");
                self.open.remove(&answer["id"].as_i64().unwrap());
                self.refused += 1;
            }
            _ => panic!("{answer}"),
        }
    }
}
