//! Who takes turns: requests with one idempotency key, one at a time; those of one user that need the database, a few;
//! and whatever else there are only so many of for each key.
//!
//! Who waits, waits here, without a database connection: whoever sends more than there are turns for holds up nobody but
//! themselves. Turns are this node's own; across nodes the store keeps twins apart.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub struct Turns<K> {
    at_once: usize,
    at_work: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K: Hash + Eq + Clone> Turns<K> {
    /// So many at once of each key.
    pub fn new(at_once: usize) -> Turns<K> {
        Turns { at_once, at_work: Mutex::default() }
    }

    /// A turn for this key, kept until it is dropped; None if there was none within `wait`.
    pub async fn turn(&self, key: &K, wait: Duration) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(wait, self.of(key).acquire_owned()).await.ok()?.ok()
    }

    /// A turn that is free now.
    pub fn free_turn(&self, key: &K) -> Option<OwnedSemaphorePermit> {
        self.of(key).try_acquire_owned().ok()
    }

    /// The turns of this key, remembered while anybody has them.
    pub fn of(&self, key: &K) -> Arc<Semaphore> {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.retain(|_, turns| turns.strong_count() > 0);
        if let Some(turns) = at_work.get(key).and_then(Weak::upgrade) {
            return turns;
        }
        let turns = Arc::new(Semaphore::new(self.at_once));
        at_work.insert(key.clone(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_twin_waits_and_others_do_not() {
        let turns = Turns::new(1);
        let first = turns.turn(&"a", AT_ONCE).await;
        assert!(first.is_some());
        assert!(turns.turn(&"a", AT_ONCE).await.is_none());
        assert!(turns.turn(&"b", AT_ONCE).await.is_some());
        drop(first);
        assert!(turns.turn(&"a", AT_ONCE).await.is_some());
    }

    #[tokio::test]
    async fn so_many_at_once_and_nothing_is_kept_of_who_is_done() {
        let turns = Turns::new(2);
        let (one, two) = (turns.turn(&1, AT_ONCE).await, turns.turn(&1, AT_ONCE).await);
        assert!(one.is_some() && two.is_some() && turns.turn(&1, AT_ONCE).await.is_none());
        drop(one);
        assert!(turns.turn(&1, AT_ONCE).await.is_some());
        drop(two);
        drop(turns.turn(&2, AT_ONCE).await.unwrap());
        drop(turns.turn(&3, AT_ONCE).await.unwrap());
        assert_eq!(turns.at_work.lock().unwrap().len(), 1);
    }
}
