//! A file of an older schema, with thousands of records in it, is brought up to date by whoever comes first of
//! 2 to 8 hosts and an agent, all of which are killed at random moments meanwhile: nothing that was in it or is
//! acknowledged is lost, the schema is the newest in the end, and a whole copy from before is there.
//!
//! `HEYHO_MIGRATIONS` sets how many files there are.

use crate::agent::Agent;
use crate::host::{Host, PATIENCE, hello};
use crate::ledger::{Ledger, verify};
use crate::profile::Profile;
use crate::world::{Dice, World, number, seed};
use heyho_buffer::{Arrival, Buffer, Source};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

static MIGRATIONS: Migrator = sqlx::migrate!("../buffer/migrations");
/// Enough for a copy and an index to take a while.
const RECORDS: i64 = 3_000;
const KILLS: i64 = 12;

#[test]
fn a_file_of_an_older_schema_survives_whoever_is_killed_while_it_is_migrated() {
    let files = number("HEYHO_MIGRATIONS").unwrap_or(12);
    let newest = MIGRATIONS.iter().map(|m| m.version).max().unwrap();
    let mut dice = Dice(seed());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let templates: Vec<_> = (1..newest).map(|schema| folder.path().join(format!("{schema}.db"))).collect();
    let promised = Ledger::default();
    runtime.block_on(async {
        let current = folder.path().join("current.db");
        fill(&current, &promised).await;
        for (schema, template) in (1..newest).zip(&templates) {
            as_of(schema, &current, template).await;
        }
    });
    let (mut acked, mut cut_short) = (0, 0);
    for n in 0..files {
        let schema = 1 + (n as i64) % (newest - 1);
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path());
        std::fs::copy(&templates[schema as usize - 1], world.buffer()).unwrap();
        let (ledger, backend) = (promised.copy(), Ledger::default());
        // One life each: then the file is looked at, and all go on.
        acked += wave(&mut dice, &world, &ledger, &backend, 1);
        cut_short += u64::from(runtime.block_on(schema_of(&world.buffer())) < newest);
        acked += wave(&mut dice, &world, &ledger, &backend, KILLS);
        assert_eq!(runtime.block_on(schema_of(&world.buffer())), newest);
        verify(&world.buffer(), &ledger, &backend);
        let copy = world.data().join(format!("backups/before-schema-{newest}.db"));
        runtime.block_on(assert_whole(&copy, newest));
    }
    println!(
        "figures: {files} files of schemas 1 to {}; {cut_short} migrations cut short by the first kills; {acked} records acknowledged; 0 lost",
        newest - 1
    );
}

/// Hosts and an agent, killed so many times in all, but at least once each.
fn wave(dice: &mut Dice, world: &World, ledger: &Ledger, backend: &Ledger, kills: i64) -> u64 {
    let left = AtomicI64::new(kills);
    let profiles: Vec<_> =
        (0..2 + dice.roll(7)).map(|n| Profile::new(format!("p{n}"), dice.another(), ledger)).collect();
    let mut agents = dice.another();
    std::thread::scope(|scope| {
        let hosts: Vec<_> = profiles
            .into_iter()
            .map(|mut profile| {
                let left = &left;
                scope.spawn(move || {
                    loop {
                        life(&mut profile, world);
                        if left.fetch_sub(1, Ordering::Relaxed) <= 1 {
                            return profile.acked;
                        }
                    }
                })
            })
            .collect();
        let left = &left;
        scope.spawn(move || {
            loop {
                let mut agent = Agent::start(world, backend);
                std::thread::park_timeout(Duration::from_micros(agents.roll(150_000)));
                agent.kill();
                assert!(agent.troubles.is_empty(), "{:?}", agent.troubles);
                if left.load(Ordering::Relaxed) <= 1 {
                    return;
                }
            }
        });
        hosts.into_iter().map(|host| host.join().unwrap()).sum()
    })
}

fn life(profile: &mut Profile, world: &World) {
    let mut host = Host::start(world);
    profile.open.clear();
    let (id, bytes, promise) = profile.frame();
    profile.open.insert(id, promise);
    assert!(host.raw(&hello(&profile.name)) && host.raw(&bytes));
    match profile.dice.roll(3) {
        // At any moment, also before it has begun.
        0 => profile.wait(&host, 50_000),
        // While somebody migrates, or soon after.
        1 => {
            let (since, copies) = (Instant::now(), world.data().join("backups"));
            while !copies.exists() && since.elapsed() < PATIENCE {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            profile.wait(&host, 50_000);
        }
        // When it has been answered.
        _ => {
            while profile.open.contains_key(&id) {
                let answer = host.answer();
                profile.answered(&answer);
            }
        }
    }
    host.kill();
    for answer in host.last_words() {
        profile.answered(&answer);
    }
}

/// Through the front door of this version.
async fn fill(path: &Path, promised: &Ledger) {
    let buffer = Buffer::open(path).await.unwrap();
    let source = Source {
        name: "chrome-extension://abcdef/#old".to_owned(),
        profile_id: "old".to_owned(),
        browser: String::new(),
        client: String::new(),
    };
    for page in 0..RECORDS / 500 {
        let texts: Vec<String> = (page * 500..(page + 1) * 500)
            .map(|n| {
                let rest = "x".repeat(700);
                format!(r#"{{"id":"o{n}","url":"http://a/","startedAt":1,"endedAt":1,"p":"{rest}"}}"#)
            })
            .collect();
        let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
        buffer.append(&source, &[Arrival::read(None, &refs, &[])], 0, 1).await.unwrap();
    }
    buffer.close().await;
    for n in 0..RECORDS {
        promised.note("old", &[(format!("o{n}"), 1)]);
    }
}

/// The same records in a file as the version with this schema made it.
async fn as_of(schema: i64, current: &Path, path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    let mut run = async |sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut old).await.unwrap();
    };
    run("PRAGMA auto_vacuum = INCREMENTAL; VACUUM".to_owned()).await;
    old.close().await.unwrap();
    let options = options.journal_mode(SqliteJournalMode::Wal);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    let migrations = MIGRATIONS.iter().filter(|m| m.version <= schema).cloned().collect();
    let upto = Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT };
    upto.run_direct(None, &mut old, false).await.unwrap();
    let attach = format!("ATTACH '{}' AS current", current.display());
    sqlx::query(AssertSqlSafe(attach)).execute(&mut old).await.unwrap();
    for table in ["source", "record", "counter", "tab_visit", "series"] {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?)")
            .bind(table)
            .fetch_all(&mut old)
            .await
            .unwrap();
        let columns = columns.join(", ");
        let copy =
            format!("INSERT OR REPLACE INTO {table} ({columns}) SELECT {columns} FROM current.{table}");
        sqlx::query(AssertSqlSafe(copy)).execute(&mut old).await.unwrap();
    }
    old.close().await.unwrap();
}

/// Everything is dead; what the log holds is part of it.
async fn schema_of(path: &Path) -> i64 {
    let mut file = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let schema = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut file)
        .await
        .unwrap();
    file.close().await.unwrap();
    schema
}

/// Of an older schema, sound, and with every record that there was.
async fn assert_whole(copy: &Path, newest: i64) {
    assert!(schema_of(copy).await < newest);
    let mut file = SqliteConnection::connect(&format!("sqlite://{}", copy.display())).await.unwrap();
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut file).await.unwrap();
    assert_eq!(sound, "ok");
    let records: i64 = sqlx::query_scalar("SELECT count(*) FROM record WHERE id GLOB 'o*'")
        .fetch_one(&mut file)
        .await
        .unwrap();
    assert_eq!(records, RECORDS);
    file.close().await.unwrap();
}
