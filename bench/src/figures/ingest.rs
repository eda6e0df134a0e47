//! Taking records in: through one host, through four, and one record at a time.

use super::Taken;
use crate::figure::{By, Row, quantile};
use crate::lab::{Fsync, Lab, Place, ms};
use crate::pipe::Host;
use crate::plot::{Plot, Series};
use crate::{fill, records};
use anyhow::{Context, Result};
use e2e::World;
use heyho_buffer::Buffer;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Row as _, Sqlite};
use std::path::Path;
use std::time::Instant;

const IN_A_FRAME: u64 = 100;
/// The most a host takes into one commit: frames until 4 MB are together.
const IN_A_COMMIT: usize = 2_800;
/// First of the numbers used for warming up, away from all others.
const WARM: u64 = 1 << 24;

fn frames(from: u64, records: u64) -> Vec<Vec<u8>> {
    let first = |n: u64| from + n * IN_A_FRAME;
    (0..records / IN_A_FRAME).map(|n| records::frame(n, first(n)..first(n + 1), records::BYTES)).collect()
}

/// A host that has stored one record: it is started, its buffer is open.
fn warm(world: &World, place: &Place, host: u64) -> Result<Host> {
    let mut started = Host::start(world, place)?;
    started.stored(&records::frame(0, WARM + host..WARM + host + 1, records::BYTES), 1)?;
    Ok(started)
}

pub async fn one(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let records = lab.size(28_000, 1_000);
    let frames = frames(0, records);
    let mut row = Row::new(
        "durable ingest: frames of 100 records of 1.5 KB through one host, to the last ack",
        "records/s",
    )
    .beside("multi-row inserts of the same rows, 2,800 a commit, synchronous FULL", By::Ratio)
    .at_least(0.70);
    let mut course = Vec::new();
    let mut rows = None;
    for round in 0..lab.rounds() {
        let place = Place::new(&world, "host")?;
        let mut host = warm(&world, &place, 0)?;
        lab.settle_disk();
        let (seconds, acks) = host.pour(&frames, records)?;
        host.hang_up()?;
        let points = acks.iter().enumerate().map(|(n, at)| ((n as f64 + 1.0) * IN_A_FRAME as f64, *at));
        course.push(points.collect::<Vec<_>>());
        let rows = match &rows {
            Some(rows) => rows,
            None => rows.insert(Stored::read(&place.buffer()).await?),
        };
        let plain = Place::new(&world, "plain")?;
        lab.settle_disk();
        let plain_seconds = insert_plainly(&plain.buffer(), rows).await?;
        row.round(records as f64 / seconds, rows.records.len() as f64 / plain_seconds);
        lab.progress("ingest", round);
        place.remove()?;
        plain.remove()?;
    }
    world.done();
    let plot = Plot::new("ingest", "Acknowledged through one host", "records", "seconds").with(
        course.into_iter().enumerate().map(|(n, points)| Series::of(&format!("round {}", n + 1), points)),
    );
    Ok(Taken { rows: vec![row], plots: vec![plot] })
}

/// The rows a host made, to be written again by somebody else: the records, and which tab was where when.
struct Stored {
    records: Vec<SqliteRow>,
    visits: Vec<(i64, String, i64, String, i64)>,
    lives: Vec<(i64, String, i64, i64)>,
}

impl Stored {
    async fn read(path: &Path) -> Result<Stored> {
        let mut db = SqliteConnectOptions::new().filename(path).connect().await?;
        let records = sqlx::query(
            "SELECT kind, source, id, id_derived, account, claim_ref, revision, text, bytes, checksum, digest, \
             complete_1, complete_2, complete_3, tab, start_time, last_time, state, held_until, captured_at \
             FROM record ORDER BY seq",
        )
        .fetch_all(&mut db)
        .await?;
        let visits = "SELECT source, tab, visited_at, id, noted_at FROM tab_visit ORDER BY visited_at";
        let visits = sqlx::query_as(visits).fetch_all(&mut db).await?;
        let lives = "SELECT source, tab, start_time, noted_at FROM tab_life ORDER BY start_time";
        let lives = sqlx::query_as(lives).fetch_all(&mut db).await?;
        Ok(Stored { records, visits, lives })
    }
}

/// The limit: the schema and its triggers, the settings of the real code, nothing but inserts. The rows' values
/// are read before the time begins.
async fn insert_plainly(path: &Path, stored: &Stored) -> Result<f64> {
    let buffer = Buffer::open(path).await?;
    fill::append(&buffer, WARM..WARM + 1, records::BYTES).await?;
    buffer.close().await;
    let options = SqliteConnectOptions::new().filename(path).pragma("secure_delete", "ON");
    let mut db = options.pragma("synchronous", "FULL").foreign_keys(true).connect().await?;
    // The first record is there already; ids of the rest are its neighbours'.
    for table in ["DELETE FROM record", "DELETE FROM tab_visit", "DELETE FROM tab_life"] {
        sqlx::query(table).execute(&mut db).await?;
    }
    let values: Vec<Values<'_>> = stored.records.iter().map(values).collect::<Result<_>>()?;
    // Half of the records are visits.
    let (mut visits, mut lives) =
        (stored.visits.chunks(IN_A_COMMIT / 2), stored.lives.chunks(IN_A_COMMIT / 2));
    let start = Instant::now();
    for commit in values.chunks(IN_A_COMMIT) {
        let mut tx = db.begin_with("BEGIN IMMEDIATE").await?;
        for chunk in commit.chunks(200) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO record (kind, source, id, id_derived, account, claim_ref, revision, text, bytes, \
                 checksum, digest, complete_1, complete_2, complete_3, tab, start_time, last_time, state, \
                 held_until, captured_at) ",
            );
            query.push_values(chunk, |mut all, row| {
                all.push_bind(row.numbers[0]).push_bind(row.numbers[1]).push_bind(row.id);
                all.push_bind(row.numbers[2]).push_bind(row.account).push_bind(row.claim_ref);
                all.push_bind(row.numbers[3]).push_bind(row.text).push_bind(row.numbers[4]);
                all.push_bind(row.numbers[5]).push_bind(row.digest);
                all.push_bind(row.complete[0]).push_bind(row.complete[1]).push_bind(row.complete[2]);
                all.push_bind(row.tab).push_bind(row.times[0]).push_bind(row.times[1]);
                all.push_bind(row.numbers[6]).push_bind(row.numbers[7]).push_bind(row.numbers[8]);
            });
            query.build().execute(&mut *tx).await?;
        }
        for chunk in visits.next().unwrap_or_default().chunks(200) {
            let mut query =
                QueryBuilder::<Sqlite>::new("INSERT INTO tab_visit (source, tab, visited_at, id, noted_at) ");
            query.push_values(chunk, |mut all, (source, tab, visited_at, id, noted_at)| {
                all.push_bind(source).push_bind(tab).push_bind(visited_at).push_bind(id).push_bind(noted_at);
            });
            query.build().execute(&mut *tx).await?;
        }
        for chunk in lives.next().unwrap_or_default().chunks(200) {
            let mut query =
                QueryBuilder::<Sqlite>::new("INSERT INTO tab_life (source, tab, start_time, noted_at) ");
            query.push_values(chunk, |mut all, (source, tab, start_time, noted_at)| {
                all.push_bind(source).push_bind(tab).push_bind(start_time).push_bind(noted_at);
            });
            query.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    db.close().await?;
    Ok(seconds)
}

struct Values<'r> {
    /// kind, source, id_derived, revision, bytes, checksum, state, held_until, captured_at
    numbers: [i64; 9],
    id: &'r str,
    account: Option<i64>,
    claim_ref: Option<&'r str>,
    text: &'r str,
    digest: &'r [u8],
    complete: [Option<f64>; 3],
    tab: Option<&'r str>,
    times: [Option<i64>; 2],
}

fn values(row: &SqliteRow) -> Result<Values<'_>> {
    let mut numbers = [0; 9];
    for (to, column) in numbers.iter_mut().zip([0, 1, 3, 6, 8, 9, 17, 18, 19]) {
        *to = row.try_get(column)?;
    }
    Ok(Values {
        numbers,
        id: row.try_get(2)?,
        account: row.try_get(4)?,
        claim_ref: row.try_get(5)?,
        text: row.try_get(7)?,
        digest: row.try_get(10)?,
        complete: [row.try_get(11)?, row.try_get(12)?, row.try_get(13)?],
        tab: row.try_get(14)?,
        times: [row.try_get(15)?, row.try_get(16)?],
    })
}

pub async fn several(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let records = lab.size(28_000, 800);
    let mut row = Row::new("the same through 4 hosts at once, in sum", "records/s")
        .beside("one host", By::Ratio)
        .at_least(0.9);
    let counts = if lab.quick { vec![4] } else { vec![2, 4, 8] };
    let mut by_hosts: Vec<(f64, Vec<f64>)> = counts.iter().map(|n| (*n as f64, Vec::new())).collect();
    let mut alone = Vec::new();
    for round in 0..lab.rounds() {
        let one = rate(lab, &world, 1, records)?;
        alone.push(one);
        for (hosts, rates) in &mut by_hosts {
            let together = rate(lab, &world, *hosts as u64, records)?;
            rates.push(together);
            if *hosts == 4.0 {
                row.round(together, one);
            }
        }
        lab.progress("hosts", round);
    }
    world.done();
    by_hosts.insert(0, (1.0, alone));
    let points = by_hosts.iter().map(|(n, rates)| (*n, quantile(rates, 0.5))).collect();
    let plot = Plot::new("hosts", "Hosts that store at once", "hosts", "records/s in sum")
        .with([Series::of("median", points)]);
    Ok(Taken { rows: vec![row], plots: vec![plot] })
}

/// Records a second of several hosts in sum, from the first frame of any to the last ack of all.
fn rate(lab: Lab, world: &World, hosts: u64, records: u64) -> Result<f64> {
    let place = Place::new(world, "hosts")?;
    let share = records / hosts;
    let mut started = Vec::new();
    for host in 0..hosts {
        started.push((warm(world, &place, host)?, frames(host * share, share)));
    }
    lab.settle_disk();
    let start = Instant::now();
    let poured: Result<Vec<()>> = std::thread::scope(|scope| {
        let pouring: Vec<_> = started
            .iter_mut()
            .map(|(host, frames)| scope.spawn(move || host.pour(frames, frames.len() as u64 * IN_A_FRAME)))
            .collect();
        let ended = pouring
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow::anyhow!("a thread ended badly"))?.map(drop));
        ended.collect()
    });
    poured?;
    let seconds = start.elapsed().as_secs_f64();
    for (host, _) in started {
        host.hang_up()?;
    }
    place.remove()?;
    Ok((share / IN_A_FRAME * IN_A_FRAME * hosts) as f64 / seconds)
}

pub async fn latency(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let count = lab.size(300, 10);
    let mut half = Row::new("a frame of one record to its ack, p50", "ms")
        .beside("one fsync of 4 KB", By::Difference)
        .at_most(1.0);
    let mut last = Row::new("the same, p99", "ms").beside("one fsync of 4 KB, p99", By::Difference);
    let sizes: &[u64] = if lab.quick { &[1] } else { &[1, 10, 100, 1_000] };
    let mut by_size: Vec<(f64, Vec<f64>)> = sizes.iter().map(|n| (*n as f64, Vec::new())).collect();
    let place = Place::new(&world, "latency")?;
    let mut host = warm(&world, &place, 0)?;
    let mut fsync = Fsync::new(&place)?;
    let mut next = 0;
    lab.settle_disk();
    for round in 0..lab.rounds() {
        let (mut acks, mut fsyncs) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let frame = records::frame(next, next..next + 1, records::BYTES);
            next += 1;
            let start = Instant::now();
            host.stored(&frame, 1)?;
            acks.push(ms(start));
            fsyncs.push(fsync.once_ms()?);
        }
        half.round(quantile(&acks, 0.5), quantile(&fsyncs, 0.5));
        last.round(quantile(&acks, 0.99), quantile(&fsyncs, 0.99));
        for (size, times) in &mut by_size {
            let records = *size as u64;
            let frame = records::frame(next, next..next + records, records::BYTES);
            next += records;
            let start = Instant::now();
            host.stored(&frame, records)?;
            times.push(ms(start));
        }
        lab.progress("latency", round);
    }
    host.hang_up()?;
    world.done();
    let points = by_size.iter().map(|(n, times)| (*n, quantile(times, 0.5))).collect();
    let plot = Plot::new("latency", "One frame to its ack", "records in the frame", "ms")
        .with([Series::of("median", points)])
        .logarithmic();
    Ok(Taken { rows: vec![half, last], plots: vec![plot] })
}

/// From the start of the process to its first ack, and what it holds then.
pub async fn start(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let starts = lab.size(20, 2);
    let place = Place::new(&world, "start")?;
    warm(&world, &place, 0)?.hang_up()?;
    let mut fsync = Fsync::new(&place)?;
    let mut time = Row::new("host: start to the first ack, p95", "ms")
        .beside("one fsync of 4 KB, p50", By::Difference)
        .at_most(30.0);
    let mut ratio = Row::new("the same", "ms").beside("an empty process that opens SQLite, p95", By::Ratio);
    let mut memory = Row::new("host: memory after its first ack (RSS)", "MB")
        .beside("an empty process that opens SQLite", By::Value)
        .at_most(12.0);
    let mut after = Row::new("the same after 28,000 records", "MB");
    let mut next = 0;
    for round in 0..lab.rounds() {
        let (mut ours, mut empty, mut fsyncs, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..starts {
            let frame = records::frame(next, next..next + 1, records::BYTES);
            next += 1;
            let begun = Instant::now();
            let mut host = Host::start(&world, &place)?;
            host.stored(&frame, 1)?;
            ours.push(ms(begun));
            held.push(crate::lab::memory_mb(host.pid(), "status", "VmRSS")?);
            host.hang_up()?;
            let (took, rss) = empty_process(&world, &place)?;
            empty.push((took, rss));
            fsyncs.push(fsync.once_ms()?);
        }
        let took: Vec<f64> = empty.iter().map(|(took, _)| *took).collect();
        let rss: Vec<f64> = empty.iter().map(|(_, rss)| *rss).collect();
        time.round(quantile(&ours, 0.95), quantile(&fsyncs, 0.5));
        ratio.round(quantile(&ours, 0.95), quantile(&took, 0.95));
        memory.round(quantile(&held, 0.5), quantile(&rss, 0.5));
        lab.progress("host", round);
    }
    for _ in 0..lab.rounds().min(3) {
        let place = Place::new(&world, "poured")?;
        let mut host = warm(&world, &place, 0)?;
        let records = lab.size(28_000, 400);
        host.pour(&frames(0, records), records)?;
        after.value(crate::lab::memory_mb(host.pid(), "status", "VmRSS")?);
        host.hang_up()?;
        place.remove()?;
    }
    world.done();
    Ok(Taken { rows: vec![time, ratio, memory, after], plots: Vec::new() })
}

/// Milliseconds until it has read its row, and its memory then.
fn empty_process(world: &World, place: &Place) -> Result<(f64, f64)> {
    use std::io::Read;
    let mut command = crate::pipe::program(world, "empty-sqlite", place)?;
    command.arg(place.buffer()).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn()?;
    let mut said = [0; 5];
    child.stdout.take().context("piped above")?.read_exact(&mut said)?;
    let took = ms(start);
    let rss = crate::lab::memory_mb(child.id(), "status", "VmRSS")?;
    drop(child.stdin.take());
    child.wait()?;
    Ok((took, rss))
}
