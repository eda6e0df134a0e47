//! What is remembered of records beside them: digests of deliveries, which visit a tab was on, when a tab's life began,
//! anchors.
//!
//! There is a limit to how much of it goes in one transaction: each row may stand on a page of its own in the table and
//! on another in an index, all of these go through the log, and on a full disk that has to fit into what the ballast took.
//! A hundred thousand deliveries do not.
//!
//! Of an erasure all of it goes page by page, after the records and the anchors: what is delivered later is none of those
//! that were meant.

use crate::error::Result;
use crate::open::Buffer;
use crate::{DELIVERED_FOR_MS, TAB_VISIT_FOR_MS};
use heyho_records::fault::planted;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row, SqliteConnection};

const AT_ONCE: u64 = 500;

struct Table {
    name: &'static str,
    key: &'static str,
    noted: &'static str,
    kept_for: i64,
}

const TABLES: [Table; 4] = [
    Table { name: "delivered", key: "source, kind, id", noted: "at", kept_for: DELIVERED_FOR_MS },
    Table {
        name: "tab_visit",
        key: "source, tab, visited_at, id",
        noted: "noted_at",
        kept_for: TAB_VISIT_FOR_MS,
    },
    Table { name: "tab_life", key: "source, tab, start_time", noted: "noted_at", kept_for: TAB_VISIT_FOR_MS },
    Table { name: "anchor", key: "anchor", noted: "kept_at", kept_for: TAB_VISIT_FOR_MS },
];

/// Rows of a table that belong to records, and the key they are walked along.
struct Beside {
    table: &'static str,
    key: &'static [(&'static str, Of)],
    /// True of a row whose records are not here.
    unfounded: &'static str,
}

#[derive(Clone, Copy)]
enum Of {
    Number,
    Text,
}

/// Part of a key. A text as bytes: what is damaged may be none.
#[derive(Clone)]
enum Part {
    Number(i64),
    Text(Vec<u8>),
}

const LINKS: Beside = Beside {
    table: "tab_visit",
    key: &[("source", Of::Number), ("tab", Of::Text), ("visited_at", Of::Number), ("id", Of::Text)],
    unfounded: "(NOT EXISTS (SELECT 1 FROM record r WHERE r.source = tab_visit.source AND r.kind = 1 \
         AND r.id = tab_visit.id) AND NOT EXISTS (SELECT 1 FROM anchor a \
         WHERE a.source = tab_visit.source AND a.id = tab_visit.id))",
};
/// Of everything that is erased: few records are left.
const LIVES: Beside = Beside {
    table: "tab_life",
    key: &[("source", Of::Number), ("tab", Of::Text), ("start_time", Of::Number)],
    unfounded: "(source, tab, start_time) NOT IN (SELECT source, tab, start_time FROM record \
         WHERE kind = 2 AND tab IS NOT NULL AND start_time IS NOT NULL)",
};

impl Buffer {
    /// What is older than it is needed, to the end.
    pub async fn forget_expired(&self, now: i64) -> Result<()> {
        loop {
            let mut tx = self.write().await?;
            let forgotten = forget_old(&mut tx, now).await?;
            tx.commit().await?;
            if forgotten == 0 {
                return self.forget_sources(now).await;
            }
        }
    }

    /// What does not say whose or of where it is: digests, and links to visits that are not here; of everything that is
    /// erased also when the tabs' lives began.
    pub(crate) async fn forget_remembered(&self, everything: bool) -> Result<()> {
        let digests = format!(
            "DELETE FROM delivered WHERE (source, kind, id) IN \
             (SELECT source, kind, id FROM delivered LIMIT {AT_ONCE})"
        );
        while !planted("digests-kept") && self.deleted(&digests).await? > 0 {}
        self.forget_unfounded(&LINKS).await?;
        if everything {
            self.forget_unfounded(&LIVES).await?;
        }
        Ok(())
    }

    /// Along the key, so that what stays is looked at once, and not under the write lock.
    async fn forget_unfounded(&self, beside: &Beside) -> Result<()> {
        let Beside { table, key, unfounded } = beside;
        let list = |each: fn(&(&str, Of)) -> String| key.iter().map(each).collect::<Vec<_>>().join(", ");
        let (columns, bytes) = (list(|(name, _)| (*name).to_owned()), list(column_as_bytes));
        let values = list(|(_, of)| of.value().to_owned());
        let next = format!(
            "SELECT {bytes}, {unfounded} FROM {table} WHERE ({columns}) > ({values}) \
             ORDER BY {columns} LIMIT {AT_ONCE}"
        );
        let mut after: Vec<Part> = key.iter().map(|(_, of)| of.least()).collect();
        loop {
            let rows = sqlx::query_with(AssertSqlSafe(next.clone()), arguments([&after]));
            let rows = rows.fetch_all(&self.pool).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = read_key(key, last)?;
            let mut gone = Vec::new();
            for row in &rows {
                if row.try_get(key.len())? {
                    gone.push(read_key(key, row)?);
                }
            }
            if gone.is_empty() {
                continue;
            }
            let these = vec![format!("({values})"); gone.len()].join(", ");
            let delete = format!("DELETE FROM {table} WHERE ({columns}) IN (VALUES {these}) AND {unfounded}");
            let delete = sqlx::query_with(AssertSqlSafe(delete), arguments(&gone)).persistent(false);
            let mut tx = self.write().await?;
            delete.execute(&mut *tx).await?;
            tx.commit().await?;
        }
    }

    async fn deleted(&self, statement: &str) -> Result<u64> {
        let mut tx = self.write().await?;
        let deleted =
            sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(deleted)
    }
}

impl Of {
    /// `+`: a cast by itself has an affinity, and SQLite finds no range of the key by it.
    fn value(self) -> &'static str {
        match self {
            Of::Number => "?",
            Of::Text if planted("walks-from-the-start") => "CAST(? AS TEXT)",
            Of::Text => "+CAST(? AS TEXT)",
        }
    }

    fn least(self) -> Part {
        match self {
            Of::Number => Part::Number(i64::MIN),
            Of::Text => Part::Text(Vec::new()),
        }
    }
}

fn column_as_bytes((name, of): &(&str, Of)) -> String {
    match of {
        Of::Number => (*name).to_owned(),
        Of::Text => format!("CAST({name} AS BLOB)"),
    }
}

fn read_key(key: &[(&str, Of)], row: &SqliteRow) -> Result<Vec<Part>> {
    let part = |(place, (_, of)): (usize, &(&str, Of))| {
        Ok(match of {
            Of::Number => Part::Number(row.try_get(place)?),
            Of::Text => Part::Text(row.try_get(place)?),
        })
    };
    key.iter().enumerate().map(part).collect()
}

fn arguments<'k>(keys: impl IntoIterator<Item = &'k Vec<Part>>) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    for part in keys.into_iter().flatten() {
        // Neither can fail to be encoded.
        let _ = match part {
            Part::Number(number) => arguments.add(*number),
            Part::Text(text) => arguments.add(text.clone()),
        };
    }
    arguments
}

/// What is in flight is not sent any more; and the digests of what the backend answered meanwhile.
pub(crate) async fn forget_traces(tx: &mut SqliteConnection) -> Result<()> {
    sqlx::query("DELETE FROM batch").execute(&mut *tx).await?;
    if !planted("digests-kept") {
        sqlx::query("DELETE FROM delivered").execute(tx).await?;
    }
    Ok(())
}

/// With each settlement: so many rows of all of them together, as many as a batch adds at the most, so that it keeps up.
pub(crate) async fn forget_old(tx: &mut SqliteConnection, now: i64) -> Result<u64> {
    let mut forgotten = 0;
    for Table { name, key, noted, kept_for } in &TABLES {
        let delete = format!(
            "DELETE FROM {name} WHERE ({key}) IN \
             (SELECT {key} FROM {name} WHERE {noted} < ? ORDER BY {noted} LIMIT ?)"
        );
        let delete = sqlx::query(AssertSqlSafe(delete)).bind(now.saturating_sub(*kept_for));
        let left = i64::try_from(AT_ONCE.saturating_sub(forgotten)).unwrap_or(0);
        forgotten += delete.bind(left).execute(&mut *tx).await?.rows_affected();
    }
    Ok(forgotten)
}
