//! What is known of identities before records with them arrive: one look at many.

use crate::decide::Known;
use crate::error::Result;
use crate::rows::{CHUNK, kind};
use crate::state;
use heyho_records::Kind;
use heyho_records::complete::Completeness;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use std::collections::HashMap;

/// As `Reason::code` has it.
pub(crate) const REJECTED_AT_CAPTURE: &str = "rejected_at_capture";

/// Of one source.
pub(crate) type Identity = (Kind, String);

pub(crate) async fn look_up(
    tx: &mut SqliteConnection,
    source: i64,
    identities: &[Identity],
) -> Result<HashMap<Identity, Known>> {
    let mut known = HashMap::new();
    for chunk in identities.chunks(CHUNK) {
        // A row says more than a digest of what was delivered before it: it is read last.
        for of_them in [
            "SELECT kind, id, digest, revision, account FROM delivered WHERE source = ",
            "SELECT kind, id, digest, revision, seq, state, complete_1, complete_2, complete_3, \
             (SELECT f.code FROM failure f WHERE f.queue = 1 AND f.seq = record.seq) \
             FROM record WHERE source = ",
        ] {
            let mut query = QueryBuilder::<Sqlite>::new(of_them);
            query.push_bind(source).push(" AND (kind, id) IN ");
            query.push_tuples(chunk, |mut tuple, (kind, id)| {
                tuple.push_bind(kind.number()).push_bind(id);
            });
            for row in query.build().fetch_all(&mut *tx).await? {
                known.insert((kind(row.try_get(0)?)?, row.try_get(1)?), read(&row)?);
            }
        }
    }
    Ok(known)
}

fn read(row: &SqliteRow) -> Result<Known> {
    let (digest, revision) = (row.try_get(2)?, row.try_get(3)?);
    if row.len() == 5 {
        return Ok(Known::Delivered { digest, revision, account: row.try_get(4)? });
    }
    let seq = row.try_get(4)?;
    if row.try_get::<i64, _>(5)? == state::WAITING {
        let measures = [row.try_get(6)?, row.try_get(7)?, row.try_get(8)?];
        let completeness = Completeness::from_columns(measures);
        return Ok(Known::Waiting { seq, digest, revision, completeness });
    }
    let why: Option<String> = row.try_get(9)?;
    let accepted = why.as_deref() != Some(REJECTED_AT_CAPTURE);
    Ok(Known::SetAside { seq, digest, revision, accepted })
}
