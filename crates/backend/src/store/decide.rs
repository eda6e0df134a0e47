//! Which version of a record stays: the one rule of every store, and of duplicates inside one request.
//!
//! The same content changes nothing. Else the more complete version stays; of equally complete ones the one with
//! the higher revision; of those the one with the greater checksum. This is a total order over contents, so the
//! rows at the end do not depend on the order of arrival. For that, the revision of a row is the highest its
//! content came with: it is raised without a new version of the row.

use super::rows::{Rank, Row};
use heyho_records::fault::planted;
use std::cmp::Ordering;
use std::collections::HashMap;

/// What is known of an identity before a batch is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Row(Rank),
    /// It was deleted.
    Tombstone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A new row, or a new version of one.
    Write,
    /// The same content with a higher revision: only the revision is noted.
    RaiseRevision,
    /// What is held stays.
    Keep,
}

/// The order of versions of one record.
pub fn order(a: &Rank, b: &Rank) -> Ordering {
    a.completeness.cmp(&b.completeness).then(a.revision.cmp(&b.revision)).then(a.checksum.cmp(&b.checksum))
}

pub fn decide(held: Option<Held>, arrived: &Rank) -> Decision {
    match held {
        None => Decision::Write,
        Some(Held::Tombstone) if planted("tombstones-ignored") => Decision::Write,
        Some(Held::Tombstone) => Decision::Keep,
        Some(Held::Row(_)) if planted("last-one-wins") => Decision::Write,
        Some(Held::Row(row)) if row.checksum == arrived.checksum => {
            if arrived.revision > row.revision {
                Decision::RaiseRevision
            } else {
                Decision::Keep
            }
        }
        Some(Held::Row(row)) => match order(arrived, &row) {
            Ordering::Greater => Decision::Write,
            Ordering::Less | Ordering::Equal => Decision::Keep,
        },
    }
}

/// Each identity once, in the version that would stay; in the order of first appearance.
pub fn once_each<C>(rows: Vec<Row<C>>) -> Vec<Row<C>> {
    let mut kept: Vec<Row<C>> = Vec::with_capacity(rows.len());
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    for row in rows {
        match places.get(&(row.source.clone(), row.id.clone())) {
            None => {
                places.insert((row.source.clone(), row.id.clone()), kept.len());
                kept.push(row);
            }
            Some(&place) => {
                if order(&row.rank, &kept[place].rank).is_gt() {
                    kept[place] = row;
                }
            }
        }
    }
    kept
}

/// A batch sorted into what is written and what only raises a revision.
#[derive(Debug)]
pub struct Sorted<'a, C> {
    pub write: Vec<&'a Row<C>>,
    pub raise: Vec<&'a Row<C>>,
}

pub fn sort<'a, C>(rows: &'a [Row<C>], held: &HashMap<(String, String), Held>) -> Sorted<'a, C> {
    let mut sorted = Sorted { write: Vec::new(), raise: Vec::new() };
    for row in rows {
        let before = held.get(&(row.source.clone(), row.id.clone())).copied();
        match decide(before, &row.rank) {
            Decision::Write => sorted.write.push(row),
            Decision::RaiseRevision => sorted.raise.push(row),
            Decision::Keep => {}
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_records::complete::Completeness;
    use proptest::prelude::*;

    /// Few contents and revisions, so that ties of every depth happen. The content decides the completeness, as it
    /// does in life.
    fn rank() -> impl Strategy<Value = Rank> {
        (0..6u8, 0..3i64).prop_map(|(content, revision)| Rank {
            completeness: Completeness::from_columns([
                Some(f64::from(content % 2)).filter(|_| content > 0),
                Some(f64::from(content % 3)),
                None,
            ]),
            revision,
            checksum: [content.wrapping_mul(99); 32],
        })
    }

    fn row(rank: Rank) -> Row<()> {
        Row {
            source: String::new(),
            id: "x".into(),
            rank,
            captured_at: None,
            record: String::new(),
            columns: (),
        }
    }

    /// What a store does with one arrival after another.
    fn arrive(all: &[Rank]) -> Option<[u8; 32]> {
        let mut held: Option<Rank> = None;
        for rank in all {
            match decide(held.map(Held::Row), rank) {
                Decision::Write => held = Some(*rank),
                Decision::RaiseRevision => held = held.map(|h| Rank { revision: rank.revision, ..h }),
                Decision::Keep => {}
            }
        }
        held.map(|h| h.checksum)
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            (ranks, shuffled) in prop::collection::vec(rank(), 1..8)
                .prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle()))
        ) {
            prop_assert_eq!(arrive(&ranks), arrive(&shuffled));
            let best = once_each(ranks.iter().copied().map(row).collect());
            prop_assert_eq!(best.len(), 1);
            prop_assert_eq!(Some(best[0].rank.checksum), arrive(&shuffled));
        }
    }

    /// Control: where the last one wins, the property above would find it out.
    #[test]
    fn a_rule_that_depends_on_the_order_would_be_noticed() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let last_one_wins = |all: &[Rank]| all.last().map(|rank| rank.checksum);
        let found = runner.run(&prop::collection::vec(rank(), 1..8), |ranks| {
            let reversed: Vec<Rank> = ranks.iter().rev().copied().collect();
            prop_assert_eq!(last_one_wins(&ranks), last_one_wins(&reversed));
            Ok(())
        });
        assert!(found.is_err());
    }

    #[test]
    fn what_was_deleted_stays_deleted() {
        let rank = Rank {
            completeness: Completeness::from_columns([Some(9.0), None, None]),
            revision: 9,
            checksum: [9; 32],
        };
        assert_eq!(decide(Some(Held::Tombstone), &rank), Decision::Keep);
        assert_eq!(decide(None, &rank), Decision::Write);
    }
}
