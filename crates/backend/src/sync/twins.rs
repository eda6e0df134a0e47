//! Requests with one idempotency key, one at a time on this node.
//!
//! A client that gave up waiting sends its request again while the first is still at work. The second waits here for
//! the first one's answer, without holding a database connection. Across nodes the store does the same.

use crate::store::IdempotencyKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

#[derive(Debug, Default)]
pub struct Twins {
    at_work: Mutex<HashMap<IdempotencyKey, Weak<Turn<()>>>>,
}

impl Twins {
    /// The turn for this key, kept until it is dropped; None if its holder took longer than `wait`.
    pub async fn turn(&self, key: &IdempotencyKey, wait: Duration) -> Option<OwnedMutexGuard<()>> {
        let turn = {
            let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
            at_work.retain(|_, turn| turn.strong_count() > 0);
            match at_work.get(key).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::new(Turn::new(()));
                    at_work.insert(key.clone(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        tokio::time::timeout(wait, turn.lock_owned()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UserId;

    fn key(name: &str) -> IdempotencyKey {
        IdempotencyKey { user: UserId(uuid::Uuid::nil()), method: "POST", path: "/", key: name.into() }
    }

    #[tokio::test]
    async fn a_twin_waits_and_others_do_not() {
        let twins = Twins::default();
        let first = twins.turn(&key("a"), Duration::ZERO).await;
        assert!(first.is_some());
        assert!(twins.turn(&key("a"), Duration::from_millis(1)).await.is_none());
        assert!(twins.turn(&key("b"), Duration::ZERO).await.is_some());
        drop(first);
        assert!(twins.turn(&key("a"), Duration::ZERO).await.is_some());
    }
}
