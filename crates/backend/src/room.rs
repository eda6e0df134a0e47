//! Room for the bodies that are held: so much for all together, and of that a share for each user, or each network.
//!
//! What is not there at once is refused: who kept some and waited for more would wait for others who do the same.

use crate::error::ApiError;
use crate::turns::Turns;
use heyho_records::fault::planted;
use std::hash::Hash;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const UNIT: usize = 1024;

/// Permits are units of so many bytes.
#[derive(Debug)]
pub struct Room<K> {
    all: Arc<Semaphore>,
    shares: Turns<K>,
}

impl<K: Hash + Eq + Clone> Room<K> {
    pub fn new(bytes: usize, share: usize) -> Room<K> {
        Room { all: Arc::new(Semaphore::new(bytes / UNIT)), shares: Turns::new(share / UNIT) }
    }

    /// Nothing is held yet.
    pub fn enter(&self, whose: &K) -> Held {
        let none = |of: Arc<Semaphore>| of.try_acquire_many_owned(0).ok();
        Held { parts: [self.all.clone(), self.shares.of(whose)].into_iter().filter_map(none).collect() }
    }
}

/// Room that is taken, given back when dropped.
#[derive(Debug)]
pub struct Held {
    parts: Vec<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes what is missing to so many bytes in all.
    pub fn at_least(&mut self, bytes: usize) -> Result<(), ApiError> {
        if planted("endless-room") {
            return Ok(());
        }
        let mut missing = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let units = bytes.div_ceil(UNIT).saturating_sub(part.num_permits());
            let units = u32::try_from(units).unwrap_or(u32::MAX);
            let more = part.semaphore().clone().try_acquire_many_owned(units);
            missing.push(more.map_err(|_| ApiError::RateLimited { retry_after: 1 })?);
        }
        self.parts.iter_mut().zip(missing).for_each(|(part, more)| part.merge(more));
        Ok(())
    }

    /// Gives back what is beyond so many bytes.
    pub fn at_most(&mut self, bytes: usize) {
        for part in &mut self.parts {
            drop(part.split(part.num_permits().saturating_sub(bytes.div_ceil(UNIT))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_share_of_the_room_and_all_have_the_room() {
        let room = Room::new(10 * UNIT, 4 * UNIT);
        let enter = |user: usize| room.enter(&user);
        let (mut a, mut again, mut b, mut c, mut d) = (enter(1), enter(1), enter(2), enter(3), enter(4));
        a.at_least(3 * UNIT).unwrap();
        again.at_least(1).unwrap();
        assert!(again.at_least(UNIT + 1).is_err(), "it is more than the share");
        c.at_least(4 * UNIT).unwrap();
        d.at_least(UNIT).unwrap();
        b.at_least(UNIT).unwrap();
        assert!(b.at_least(2 * UNIT).is_err(), "all of it is taken");
        a.at_most(2 * UNIT);
        b.at_least(2 * UNIT).unwrap();
        drop((a, again, b, c, d));
        assert_eq!(room.all.available_permits(), 10);
        enter(1).at_least(4 * UNIT).unwrap();
    }
}
