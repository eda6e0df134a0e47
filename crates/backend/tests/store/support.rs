//! Stores to ask, and rows to give them.

use heyho_backend::limits::Limits;
use heyho_backend::store::postgres::PostgresStore;
use heyho_backend::store::rows::{AggregateColumns, Rank, Row, VisitColumns};
use heyho_backend::store::sqlite::SqliteStore;
use heyho_backend::store::{
    Batch, Counts, Created, IdempotencyKey, NewUser, Page, PageQuery, PasswordHash, Place, Saved, Store,
    StoredRecord, UserId,
};
use heyho_records::complete::Completeness;
use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes one test a store of each function named: `fn name(asked: Asked)`.
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::support::Asked::sqlite().await).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(asked) = $crate::support::Asked::postgres().await {
                        super::$name(asked).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_each_store;

pub const NOW: i64 = 1_795_176_000_000;

/// Of a small PostgreSQL.
pub fn limits() -> Limits {
    Limits { postgres_connections: 6, ..Limits::default() }
}

/// A store, empty at first.
pub struct Asked {
    pub store: Box<dyn Store>,
    url: String,
    _folder: tempfile::TempDir,
}

impl Asked {
    pub async fn sqlite() -> Asked {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let store = SqliteStore::open(&path).await.unwrap();
        Asked { store: Box::new(store), url: format!("sqlite://{}", path.display()), _folder: folder }
    }

    pub async fn postgres() -> Option<Asked> {
        let url = crate::postgres::new_database().await?;
        Some(Asked::of(PostgresStore::open(&url, &limits()).await.unwrap(), &url))
    }

    pub fn of(store: PostgresStore, url: &str) -> Asked {
        Asked { store: Box::new(store), url: url.to_owned(), _folder: tempfile::tempdir().unwrap() }
    }

    /// What no part of the trait shows: a look into the tables, beside the store.
    pub async fn count(&self, sql: &'static str) -> i64 {
        if self.url.starts_with("sqlite") {
            let mut beside = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut beside).await.unwrap()
        } else {
            let mut beside = sqlx::PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut beside).await.unwrap()
        }
    }

    pub async fn execute(&self, sql: &'static str) {
        if self.url.starts_with("sqlite") {
            let mut beside = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut beside).await.unwrap();
        } else {
            let mut beside = sqlx::PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut beside).await.unwrap();
        }
    }

    /// Somebody new.
    pub async fn user(&self) -> UserId {
        self.user_called(&format!("u{}@example.org", number())).await
    }

    pub async fn user_called(&self, email: &str) -> UserId {
        let id = UserId(uuid::Uuid::from_u128(number().into()));
        let made = self.store.create_user(NewUser {
            id,
            email: email.to_owned(),
            password_hash: PasswordHash("x".into()),
            first_name: None,
            last_name: Some("Ada".into()),
            feed_epoch: "e1".into(),
            confirmed_at: None,
            now: NOW,
        });
        assert_eq!(made.await.unwrap(), Created::Created);
        id
    }

    /// Saves, and the version of the answer.
    pub async fn save(&self, user: UserId, visits: Vec<Visit>, aggregates: Vec<Aggregate>) -> i64 {
        match self.store.save(batch(user, visits, aggregates)).await.unwrap() {
            Saved::Now(answer) => version(&answer),
            other => panic!("{other:?}"),
        }
    }

    pub async fn page(&self, user: UserId, after: Place, limit: i64) -> Page {
        self.store.page(PageQuery { user, kind: None, after, limit }).await.unwrap()
    }

    /// Everything stored, in pages of so many.
    pub async fn all(&self, user: UserId, limit: i64) -> Vec<StoredRecord> {
        let (mut records, mut after) = (Vec::new(), Place::start());
        loop {
            let page = self.page(user, after, limit).await;
            records.extend(page.records);
            after = records.last().map_or_else(Place::start, |last| last.place.clone());
            if !page.more {
                return records;
            }
        }
    }

    /// The texts of what is stored.
    pub async fn texts(&self, user: UserId) -> Vec<String> {
        self.all(user, 1_000).await.into_iter().map(|stored| stored.record).collect()
    }
}

fn number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    NUMBER.fetch_add(1, Ordering::SeqCst)
}

pub fn version(answer: &str) -> i64 {
    serde_json::from_str::<serde_json::Value>(answer).unwrap()["version"].as_i64().unwrap()
}

/// A version of a visit: identity, what decides, and a text that is its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    pub source: String,
    pub id: String,
    pub ended: Option<u32>,
    pub revision: i64,
    pub title: String,
    pub host: String,
    pub at: i64,
}

pub fn visit(id: &str) -> Visit {
    Visit {
        source: "s".into(),
        id: id.into(),
        ended: None,
        revision: 0,
        title: "t".into(),
        host: "a.example".into(),
        at: NOW,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    pub id: String,
    pub visit: Option<String>,
    pub active: Option<u32>,
    pub revision: i64,
    pub domains: Vec<String>,
    pub life: Option<(i64, i64)>,
}

pub fn aggregate(id: &str, visit: Option<&str>) -> Aggregate {
    let visit = visit.map(str::to_owned);
    Aggregate { id: id.into(), visit, active: None, revision: 0, domains: Vec::new(), life: None }
}

impl Visit {
    /// Without the revision, which is no content.
    pub fn text(&self) -> String {
        serde_json::json!({"id": self.id, "ended": self.ended, "title": self.title, "at": self.at})
            .to_string()
    }

    fn row(&self) -> Row<VisitColumns> {
        let columns = VisitColumns {
            host: Some(self.host.clone()),
            visited_at: Some(self.at),
            title: Some(self.title.clone()),
            ..VisitColumns::default()
        };
        let row = row(&self.source, &self.id, self.ended, self.revision, self.text(), columns);
        Row { captured_at: Some(self.at), ..row }
    }
}

impl Aggregate {
    pub fn text(&self) -> String {
        serde_json::json!({"id": self.id, "visit": self.visit, "active": self.active}).to_string()
    }

    fn row(&self) -> Row<AggregateColumns> {
        let columns = AggregateColumns {
            page_visit_id: self.visit.clone(),
            domains: serde_json::json!(self.domains).to_string(),
            started_at: self.life.map(|(from, _)| from),
            last_active_at: self.life.map(|(_, to)| to),
            ..AggregateColumns::default()
        };
        let row = row("s", &self.id, self.active, self.revision, self.text(), columns);
        Row { captured_at: self.life.map(|(from, _)| from), ..row }
    }
}

fn row<C>(source: &str, id: &str, complete: Option<u32>, revision: i64, text: String, columns: C) -> Row<C> {
    let rank = Rank {
        completeness: Completeness::from_columns([complete.map(f64::from), None, None]),
        revision,
        checksum: Sha256::digest(&text).into(),
    };
    Row { source: source.into(), id: id.into(), rank, captured_at: None, record: text, columns }
}

pub fn batch(user: UserId, visits: Vec<Visit>, aggregates: Vec<Aggregate>) -> Batch {
    use heyho_backend::store::decide::once_each;
    let counts = Counts { page_visits: visits.len(), tab_aggregates: aggregates.len() };
    Batch {
        user,
        device: Some("d".into()),
        now: NOW,
        visits: once_each(visits.iter().map(Visit::row).collect()),
        aggregates: once_each(aggregates.iter().map(Aggregate::row).collect()),
        idempotency: None,
        batch_id: None,
        counts,
    }
}

/// The same batch under a key, with a hash of its body.
pub fn keyed(batch: Batch, key: &str, body: u8) -> Batch {
    let key = IdempotencyKey { user: batch.user, method: "POST", path: "/x", key: key.into() };
    Batch { idempotency: Some((key, [body; 32])), ..batch }
}
