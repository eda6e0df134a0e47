//! What becomes of a record that arrives: one pure function over what is known of its identity; while an account or
//! everything is half erased, what is replaced below waits again at the end of the queue (`unfinished`).
//!
//! | known of (source, kind, id) | content | what happens |
//! |---|---|---|
//! | nothing | | a new row, revision 1: `stored` |
//! | confirmed in the last 7 days | same | nothing: `unchanged` |
//! | confirmed in the last 7 days | other | a new row, one revision higher: `stored` |
//! | waiting | same, or less complete | nothing: `unchanged` |
//! | waiting | other | replaced in its place, one revision higher: `updated` |
//! | among the failed | same | nothing: `unchanged` |
//! | among the failed | other | waits again at the end of the queue, one revision higher: `updated` |

use crate::error::Result;
use crate::unfinished;
use heyho_records::Record;
use heyho_records::complete::Completeness;
use heyho_records::fault::planted;
use sqlx::SqliteConnection;

/// By how much a newer version's revision is higher. Without that the older version's confirmation deletes
/// the newer one.
fn newer() -> i64 {
    i64::from(!planted("same-revision"))
}

/// What is known of an identity before a record with it arrives.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    Nothing,
    Delivered {
        digest: Vec<u8>,
        revision: i64,
        account: i64,
    },
    Waiting {
        seq: i64,
        digest: Vec<u8>,
        revision: i64,
        completeness: Completeness,
    },
    /// `accepted`: it was good when it arrived, and the backend refused it.
    SetAside {
        seq: i64,
        digest: Vec<u8>,
        revision: i64,
        accepted: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Insert {
        revision: i64,
    },
    Replace {
        seq: i64,
        revision: i64,
    },
    /// Leaves its old row, which is among the failed, for a new one at the end of the queue.
    Revive {
        seq: i64,
        revision: i64,
    },
    Unchanged,
}

impl Decision {
    /// As it may be done now: while what goes of an erasure is known by its number, no newer version comes in its place.
    pub(crate) async fn here(self, tx: &mut SqliteConnection) -> Result<Decision> {
        match self {
            // Of this very transaction: it is not written yet, and has no number.
            Decision::Replace { seq, revision } if seq >= 0 && unfinished::goes_by_number(tx).await? => {
                Ok(Decision::Revive { seq, revision })
            }
            decision => Ok(decision),
        }
    }
}

pub fn decide(known: &Known, record: &Record) -> Decision {
    match known {
        Known::Nothing => Decision::Insert { revision: 1 },
        Known::Delivered { digest, revision, .. } => {
            if *digest == record.digest {
                Decision::Unchanged
            } else {
                Decision::Insert { revision: revision + 1 }
            }
        }
        Known::Waiting { seq, digest, revision, completeness } => {
            if *digest == record.digest || *completeness > record.completeness {
                Decision::Unchanged
            } else {
                Decision::Replace { seq: *seq, revision: revision + newer() }
            }
        }
        Known::SetAside { seq, digest, revision, .. } => {
            if *digest == record.digest {
                Decision::Unchanged
            } else {
                Decision::Revive { seq: *seq, revision: revision + 1 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_records::Kind;

    fn visit(rest: &str) -> Record {
        let text = format!(r#"{{"id":"v","url":"http://a/","startedAt":1{rest}}}"#);
        Record::read(Kind::PageVisit, &text).unwrap()
    }

    #[test]
    fn the_table_above() {
        let (early, late, other) =
            (visit(r#","endedAt":5"#), visit(r#","endedAt":9"#), visit(r#","title":"t","endedAt":5"#));
        let waiting = |of: &Record| Known::Waiting {
            seq: 7,
            digest: of.digest.to_vec(),
            revision: 3,
            completeness: of.completeness,
        };
        let aside =
            |of: &Record| Known::SetAside { seq: 7, digest: of.digest.to_vec(), revision: 3, accepted: true };
        let delivered =
            |of: &Record| Known::Delivered { digest: of.digest.to_vec(), revision: 3, account: 1 };
        for (known, arrives, expected) in [
            (Known::Nothing, &early, Decision::Insert { revision: 1 }),
            (delivered(&early), &early, Decision::Unchanged),
            (delivered(&early), &late, Decision::Insert { revision: 4 }),
            (waiting(&early), &early, Decision::Unchanged),
            (waiting(&early), &late, Decision::Replace { seq: 7, revision: 4 }),
            (waiting(&late), &early, Decision::Unchanged),
            (waiting(&early), &other, Decision::Replace { seq: 7, revision: 4 }),
            (aside(&early), &early, Decision::Unchanged),
            (aside(&late), &early, Decision::Revive { seq: 7, revision: 4 }),
        ] {
            assert_eq!(decide(&known, arrives), expected, "{known:?}");
        }
    }
}
