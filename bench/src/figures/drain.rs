//! Delivering: the real agent to a backend that keeps nothing, beside the bare bytes; and what it holds meanwhile.

use super::Taken;
use super::scale;
use crate::figure::{By, Row};
use crate::fill;
use crate::lab::{Lab, Place, memory_mb};
use crate::null_backend::NullBackend;
use crate::pipe::program;
use crate::plot::{Plot, Series};
use crate::records::BYTES;
use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use e2e::{World, companion, eventually};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A companion that is signed in at that backend, with records waiting: to be copied for each round.
pub struct Template {
    pub place: Place,
    pub records: u64,
}

/// Signs in with `heyho login`, then lays the records out.
pub async fn template(
    world: &World,
    backend: &str,
    name: &str,
    records: u64,
    bytes: usize,
) -> Result<Template> {
    companion::configure(world, backend, companion::Tokens::File)?;
    let place = Place::new(world, name)?;
    let mut login = program(world, "heyho", &place)?;
    login.args(["login", "--email", companion::EMAIL, "--password-stdin", "--register"]);
    let mut child = login.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    std::io::Write::write_all(
        &mut child.stdin.take().context("piped")?,
        format!("{}\n", companion::PASSWORD).as_bytes(),
    )?;
    let ended = child.wait_with_output()?;
    ensure!(ended.status.success(), "heyho login: {}", String::from_utf8_lossy(&ended.stderr));
    fill::fill(&place.buffer(), 0..records, bytes).await?;
    Ok(Template { place, records })
}

impl Template {
    pub fn copy(&self, lab: Lab, world: &World, name: &str) -> Result<Place> {
        let place = Place::new(world, name)?;
        for entry in std::fs::read_dir(&self.place.data)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), place.data.join(entry.file_name()))?;
            }
        }
        lab.settle_disk();
        Ok(place)
    }
}

/// A program that ends with the figure.
pub struct Running(pub Child);

impl Running {
    pub fn start(mut command: Command) -> Result<Running> {
        Ok(Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// `heyho agent`, which delivers as soon as it runs.
    pub fn agent(world: &World, place: &Place) -> Result<Running> {
        let mut command = program(world, "heyho", place)?;
        command.arg("agent");
        Running::start(command)
    }

    pub fn alive(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("it ended with {status}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub async fn take(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let backend = NullBackend::start()?;
    let records = lab.size(100_000, 2_000);
    let template = template(&world, &backend.url(), "template", records, BYTES).await?;
    let mut row = Row::new("drain of 100,000 records to a null backend on loopback", "records/s")
        .beside("plain keep-alive POSTs of the same bytes", By::Ratio)
        .at_least(0.60);
    let mut work = Row::new("the same", "records/s")
        .beside("those POSTs, and each batch selected, kept and deleted in plain SQL", By::Ratio)
        .at_least(0.60);
    let (mut course, mut bodies) = (Vec::new(), Vec::new());
    for round in 0..lab.rounds() {
        let place = template.copy(lab, &world, "draining")?;
        backend.reset(bodies.is_empty());
        let seen = drain(&world, &backend, &place, records).await?;
        let seconds = seen.seconds().context("something came")?;
        course.push(seen.course.iter().map(|(at, n)| (*n as f64, *at)).collect::<Vec<_>>());
        place.remove()?;
        if let Some(kept) = seen.bodies {
            bodies = kept;
        }
        backend.reset(false);
        let client = reqwest::Client::builder().no_proxy().build()?;
        for body in &bodies {
            post(&client, &backend.url(), "null.null.null", body.clone()).await?;
        }
        let plain = backend.reset(false).seconds().context("something came")?;
        row.round(records as f64 / seconds, records as f64 / plain);

        let place = template.copy(lab, &world, "plain")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let worked = by_hand(&place.buffer(), &client, &backend.url(), records).await?;
        backend.reset(false);
        work.round(records as f64 / seconds, records as f64 / worked);
        place.remove()?;
        lab.progress("drain", round);
    }
    world.done();
    let plot = Plot::new("drain", "Delivered to a null backend", "records", "seconds").with(
        course.into_iter().enumerate().map(|(n, points)| Series::of(&format!("round {}", n + 1), points)),
    );
    Ok(Taken { rows: vec![row, work], plots: vec![plot] })
}

/// The agent from its start until everything is confirmed; what the backend saw.
async fn drain(
    world: &World,
    backend: &NullBackend,
    place: &Place,
    records: u64,
) -> Result<crate::null_backend::Seen> {
    let mut agent = Running::agent(world, place)?;
    backend.received(records, || agent.alive()).await?;
    // The last answer is settled a moment later; nothing must be left to send.
    let buffer = heyho_buffer::Buffer::open(&place.buffer()).await?;
    let account = buffer.signed_in().await?.map(|account| account.id);
    eventually(e2e::SOON, "everything is confirmed", async || {
        let waiting = buffer.totals(account, fill::now_ms()).await?.waiting();
        ensure!(waiting == 0, "{waiting} wait");
        Ok(())
    })
    .await?;
    buffer.close().await;
    Ok(backend.reset(false))
}

pub async fn post(client: &reqwest::Client, url: &str, token: &str, body: Bytes) -> Result<()> {
    let key = body.get(12..48).map(|id| String::from_utf8_lossy(id).into_owned()).unwrap_or_default();
    let request = client.post(format!("{url}/api/v1/data/sync")).bearer_auth(token);
    let request = request.header("Content-Type", "application/json").header("Idempotency-Key", key);
    let answer = request.body(body).send().await?;
    let status = answer.status();
    let text = answer.bytes().await?;
    ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&text));
    Ok(())
}

/// What cannot be left out by anybody who keeps what is unconfirmed: the oldest 200 are read, sent, and deleted
/// durably, one batch after the other.
async fn by_hand(path: &Path, client: &reqwest::Client, url: &str, records: u64) -> Result<f64> {
    use sqlx::{ConnectOptions, Row as _};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(true);
    let mut db = options.pragma("secure_delete", "ON").pragma("synchronous", "FULL").connect().await?;
    let (start, mut sent) = (Instant::now(), 0);
    while sent < records {
        let (mut numbers, mut lists) = (Vec::new(), [Vec::new(), Vec::new()]);
        for kind in [1_i64, 2] {
            let rows = sqlx::query(
                "SELECT seq, text FROM record WHERE state = 1 AND account = 1 AND kind = ? ORDER BY seq LIMIT 100",
            )
            .bind(kind)
            .fetch_all(&mut db)
            .await?;
            for row in rows {
                numbers.push(row.try_get::<i64, _>(0)?);
                let text: String = row.try_get(1)?;
                lists[kind as usize - 1]
                    .push(format!("{},\"companionRevision\":1}}", &text[..text.len() - 1]));
            }
        }
        ensure!(!numbers.is_empty(), "nothing is left after {sent} of {records}");
        let body = format!(
            "{{\"batchId\":\"00000000-0000-0000-0000-{sent:012}\",\"pageVisits\":[{}],\"tabAggregates\":[{}]}}",
            lists[0].join(","),
            lists[1].join(",")
        );
        post(client, url, "null.null.null", Bytes::from(body)).await?;
        sent += numbers.len() as u64;
        let list = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new("DELETE FROM record WHERE seq IN (");
        query.push(list).push(")");
        query.build().persistent(false).execute(&mut db).await?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// The agent's memory while much waits, beside little.
pub async fn memory(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let backend = NullBackend::start()?;
    let (sizes, skipped) = scale::sizes(lab, &world)?;
    let (least, most) = (sizes[0], sizes[sizes.len() - 1]);
    let power = (most as f64).log10().round();
    let mut row = Row::new(&format!("agent: most memory while draining 10^{power} waiting (peak RSS)"), "MB")
        .beside("while draining 10^3", By::Difference)
        .at_most(8.0);
    let mut opening =
        Row::new(&format!("agent: from its start to its first request with 10^{power} waiting"), "s");
    opening = opening.beside("with 10^3", By::Difference);
    if let Some(why) = skipped {
        row = row.note(why);
    }
    let small = template(&world, &backend.url(), "small", least, scale::BYTES).await?;
    let large = template(&world, &backend.url(), "large", most, scale::BYTES).await?;
    let mut course = Vec::new();
    // Each opening of ten million looks at all of them: three rounds take as long as all other figures.
    for round in 0..lab.rounds().min(3) {
        let place = small.copy(lab, &world, "draining")?;
        let (base, began, _) = peak(&world, &backend, &place, least).await?;
        place.remove()?;
        // Not copied: what was drained in one round is not there in the next, which leaves enough.
        let (ours, begins, points) = peak(&world, &backend, &large.place, large.records.min(200_000)).await?;
        row.round(ours, base);
        opening.round(begins, began);
        course.push(points);
        lab.progress("memory", round);
    }
    world.done();
    let plot =
        Plot::new("memory", &format!("The agent's memory with 10^{power} waiting"), "seconds", "MB (RSS)")
            .with(
                course
                    .into_iter()
                    .enumerate()
                    .map(|(n, points)| Series::of(&format!("round {}", n + 1), points)),
            );
    Ok(Taken { rows: vec![row, opening], plots: vec![plot] })
}

/// The most it held until so many were delivered, when it began to deliver, and its memory over time.
async fn peak(
    world: &World,
    backend: &NullBackend,
    place: &Place,
    records: u64,
) -> Result<(f64, f64, Vec<(f64, f64)>)> {
    backend.reset(false);
    let start = Instant::now();
    let mut agent = Running::agent(world, place)?;
    let pid = agent.0.id();
    let (mut points, mut began) = (Vec::new(), None);
    loop {
        agent.alive()?;
        let held = memory_mb(pid, "status", "VmRSS")?;
        points.push((start.elapsed().as_secs_f64(), held));
        let done = backend.records();
        if done > 0 && began.is_none() {
            began = Some(start.elapsed().as_secs_f64());
        }
        if done >= records {
            break;
        }
        ensure!(start.elapsed() < Duration::from_secs(1_200), "only {done} of {records} were delivered");
        tokio::time::sleep(Duration::from_millis(if start.elapsed().as_secs() < 5 { 20 } else { 250 })).await;
    }
    let most = memory_mb(pid, "status", "VmHWM")?;
    drop(agent);
    Ok((most, began.unwrap_or_default(), points))
}
