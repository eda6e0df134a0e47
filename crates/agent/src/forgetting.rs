//! Who has heard that a site is to be forgotten.
//!
//! Invariants
//! - Answers are counted by connection: a host that says twice that it has heard does not stand for another.
//! - A host that attaches while a site is being forgotten is told of it then, and owes an answer like the others.
//! - A browser is reached where a host of its has said so and none of its hosts still owes an answer. A host that says
//!   nothing (it hangs, missed what was pushed, or is of a version that does not answer) is none that has heard.

use heyho_records::fault::planted;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The hosts that are attached, and what they owe.
#[derive(Debug, Default)]
pub struct Hosts {
    table: Mutex<Table>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Table {
    /// Of hosts and of forgettings: none is given twice.
    last_number: u64,
    /// The sources that hosts are attached for.
    attached: HashMap<u64, String>,
    under_way: HashMap<u64, UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    site: String,
    /// How many hosts were told.
    told: usize,
    owing: HashMap<u64, String>,
    heard: HashSet<String>,
}

/// Which browsers, by their sources.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub reached: HashSet<String>,
    /// Connected, and did not say so in time.
    pub silent: HashSet<String>,
}

impl Hosts {
    /// Its number, and the sites that it is to be told of.
    pub fn attach(&self, source: &str) -> (u64, Vec<String>) {
        self.change(|table| {
            let host = table.number();
            table.attached.insert(host, source.to_owned());
            let told = table.under_way.values_mut().map(|one| {
                one.told += 1;
                one.owing.insert(host, source.to_owned());
                one.site.clone()
            });
            (host, told.collect())
        })
    }

    pub fn leave(&self, host: u64) {
        self.change(|table| {
            table.attached.remove(&host);
            table.under_way.values_mut().for_each(|one| drop(one.owing.remove(&host)));
        });
    }

    /// The host lets nothing older of the site pass any more.
    pub fn told(&self, host: u64, site: &str) {
        self.change(|table| {
            for one in table.under_way.values_mut().filter(|one| one.site == site) {
                // The fault: whoever answers, an answer is an answer.
                let any = one.owing.keys().next().copied().filter(|_| planted("answers-are-counted"));
                one.heard.extend(one.owing.remove(&any.unwrap_or(host)));
            }
        });
    }

    /// From now on whoever is attached owes an answer, and whoever attaches.
    pub fn begin(&self, site: &str) -> Forgetting<'_> {
        let number = self.change(|table| {
            let number = table.number();
            let owing = table.attached.clone();
            let one = UnderWay { site: site.to_owned(), told: owing.len(), owing, heard: HashSet::new() };
            table.under_way.insert(number, one);
            number
        });
        Forgetting { hosts: self, number }
    }

    /// Until so many are attached, or more.
    pub async fn gathered(&self, enough: usize) {
        self.holds(|table| table.attached.len() >= enough).await;
    }

    async fn holds(&self, condition: impl Fn(&Table) -> bool) {
        let mut changes = self.changed.subscribe();
        while !self.look(&condition) {
            // The sender is ours: there is always another change to wait for.
            let _ = changes.changed().await;
        }
    }

    fn change<T>(&self, how: impl FnOnce(&mut Table) -> T) -> T {
        let answer = how(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
        answer
    }

    fn look<T>(&self, at: impl FnOnce(&Table) -> T) -> T {
        at(&self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Table {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// A site that is being forgotten, until this is dropped.
#[derive(Debug)]
pub struct Forgetting<'a> {
    hosts: &'a Hosts,
    number: u64,
}

impl Forgetting<'_> {
    /// Until each that was told has said that it has heard, or is gone; at most so long.
    pub async fn heard(&self, at_most: Duration) {
        let all = |table: &Table| table.under_way.get(&self.number).is_none_or(|one| one.owing.is_empty());
        let _ = timeout(at_most, self.hosts.holds(all)).await;
    }

    /// How many hosts were told so far.
    pub fn told(&self) -> usize {
        self.hosts.look(|table| table.under_way.get(&self.number).map_or(0, |one| one.told))
    }

    pub fn reach(&self) -> Reach {
        self.hosts.look(|table| {
            let Some(one) = table.under_way.get(&self.number) else { return Reach::default() };
            let silent: HashSet<String> = one.owing.values().cloned().collect();
            Reach { reached: one.heard.difference(&silent).cloned().collect(), silent }
        })
    }
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.hosts.change(|table| drop(table.under_way.remove(&self.number)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    fn set(sources: &[&str]) -> HashSet<String> {
        sources.iter().map(|&source| source.to_owned()).collect()
    }

    #[tokio::test]
    async fn each_host_answers_for_itself() {
        let hosts = Hosts::default();
        hosts.begin("a").heard(LONG).await;
        let [one, again, other] = ["one", "one", "other"].map(|source| hosts.attach(source).0);
        let forgetting = hosts.begin("a");
        for (host, site) in [(one, "b"), (one, "a"), (one, "a"), (one, "a")] {
            hosts.told(host, site);
        }
        forgetting.heard(NEVER).await;
        assert_eq!(forgetting.reach(), Reach { reached: set(&[]), silent: set(&["one", "other"]) });
        hosts.told(again, "a");
        forgetting.heard(NEVER).await;
        assert_eq!(forgetting.reach(), Reach { reached: set(&["one"]), silent: set(&["other"]) });
        hosts.told(other, "a");
        forgetting.heard(LONG).await;
        assert_eq!(forgetting.reach(), Reach { reached: set(&["one", "other"]), silent: set(&[]) });
    }

    #[tokio::test]
    async fn who_comes_meanwhile_is_told_and_waited_for() {
        let hosts = Hosts::default();
        let (first, told) = hosts.attach("first");
        assert!(told.is_empty());
        let forgetting = hosts.begin("a");
        hosts.told(first, "a");
        let (second, told) = hosts.attach("second");
        assert_eq!((told, forgetting.told()), (vec!["a".to_owned()], 2));
        tokio::join!(forgetting.heard(LONG), async { hosts.told(second, "a") });
        assert_eq!(forgetting.reach().reached, set(&["first", "second"]));
        drop(forgetting);
        assert!(hosts.attach("third").1.is_empty());
    }

    #[tokio::test]
    async fn who_leaves_without_a_word_is_not_waited_for_and_not_reached() {
        let hosts = Hosts::default();
        let (gone, stays) = (hosts.attach("gone").0, hosts.attach("stays").0);
        let forgetting = hosts.begin("a");
        hosts.told(stays, "a");
        tokio::join!(forgetting.heard(LONG), async { hosts.leave(gone) });
        assert_eq!(forgetting.reach(), Reach { reached: set(&["stays"]), silent: set(&[]) });
        tokio::join!(hosts.gathered(2), async { hosts.attach("new") });
    }
}
