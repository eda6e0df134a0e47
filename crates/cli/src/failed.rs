//! `failed`: what could not be delivered. Works on the buffer itself, with or without an agent.

use crate::Context;
use crate::args::{Failed, Sure, Which};
use crate::link::{nudge, request_sync};
use crate::sync::{failed as fault_of, open};
use crate::waiting::cut;
use heyho_agent::shown;
use heyho_buffer::{Buffer, FailedQuery};
use heyho_local::clock::{Clock, SystemClock};
use heyho_local::vocabulary::{FailedRecord, Fault, FaultCode};
use heyho_records::words::{self, count};
use jiff::Timestamp;
use std::process::ExitCode;

const PAGE: u32 = 1_000;

pub async fn failed(context: &Context, command: Failed) -> Result<ExitCode, Fault> {
    match command {
        Failed::List { reason } => list(context, reason.as_deref()).await,
        Failed::Show { id } => show(context, &id).await,
        Failed::Export { to } => crate::keeping::export(context, &to, None, true).await,
        Failed::Retry(which) => change(context, which, Change::Retry).await,
        Failed::Discard { which, sure } => change(context, which, Change::Discard(sure)).await,
        Failed::Keep(which) => change(context, which, Change::Keep).await,
    }
}

async fn list(context: &Context, reason: Option<&str>) -> Result<ExitCode, Fault> {
    let buffer = open(context).await?;
    if let Some(reason) = reason {
        known_reason(&buffer, reason).await?;
    }
    let (mut list, mut after) = (context.out.list(), 0);
    loop {
        let page = buffer.failed(after, PAGE, reason).await.map_err(fault_of)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for failed in page {
            list.item(&shown(failed, false), |record| lines(record, SystemClock.now()))?;
        }
    }
    list.end("No record has failed.")?;
    Ok(ExitCode::SUCCESS)
}

fn lines(record: &FailedRecord, now: Timestamp) -> String {
    let what = record.title.as_deref().or(record.host.as_deref()).unwrap_or(&record.id);
    let quiet = if record.kept { ", kept quietly" } else { "" };
    let address = record.url.as_deref().map_or(String::new(), |url| format!("\n        {url}"));
    format!(
        "{:>6}  {:<12}  {}{address}\n        {} ({}, {}{quiet})",
        record.number,
        record.kind.name(),
        cut(what),
        record.text,
        words::ago(record.last_at, now),
        count(record.attempts.into(), "attempt"),
    )
}

async fn show(context: &Context, id: &str) -> Result<ExitCode, Fault> {
    let buffer = open(context).await?;
    let number = number(&buffer, id).await?;
    let found = buffer.failed_one(number).await.map_err(fault_of)?;
    let record = found.map(|failed| shown(failed, true)).ok_or_else(|| none(id))?;
    context.out.say(&record, |record| {
        let account = record.account.as_deref().map_or("nobody's yet".to_owned(), |of| format!("of {of}"));
        format!(
            "{}\n        first {}, {account}, id {}\n{}",
            lines(record, SystemClock.now()),
            record.first_at,
            record.id,
            record.record.as_deref().unwrap_or_default()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn none(id: &str) -> Fault {
    Fault::new(FaultCode::NotFound, format!("there is no failed record {id}; there are: heyho failed list"))
}

/// A local number; else the record's own id, which lists and backends show too.
async fn number(buffer: &Buffer, id: &str) -> Result<i64, Fault> {
    if let Ok(number) = id.parse() {
        return Ok(number);
    }
    let mut after = 0;
    loop {
        let page = buffer.failed(after, PAGE, None).await.map_err(fault_of)?;
        let Some(last) = page.last() else { return Err(none(id)) };
        after = last.seq;
        if let Some(found) = page.into_iter().map(|failed| shown(failed, false)).find(|f| f.id == id) {
            return Ok(found.number);
        }
    }
}

async fn known_reason(buffer: &Buffer, reason: &str) -> Result<(), Fault> {
    let known = buffer.failed_by_reason().await.map_err(fault_of)?;
    if known.iter().any(|(code, _)| code == reason) {
        return Ok(());
    }
    let there = known.iter().map(|(code, n)| format!("{code} ({n})")).collect::<Vec<_>>().join(", ");
    let text = match there.as_str() {
        "" => "no record has failed".to_owned(),
        there => format!("no record has failed for {reason:?}; there is: {there}"),
    };
    Err(Fault::new(FaultCode::NotFound, text))
}

#[derive(Clone, Copy)]
enum Change {
    Retry,
    Discard(Sure),
    Keep,
}

async fn change(context: &Context, which: Which, change: Change) -> Result<ExitCode, Fault> {
    let buffer = open(context).await?;
    let query = match (which.all, which.reason) {
        (true, _) => FailedQuery::All,
        (_, Some(reason)) => {
            known_reason(&buffer, &reason).await?;
            FailedQuery::Reason(reason)
        }
        _ => {
            let mut numbers = Vec::with_capacity(which.ids.len());
            for id in &which.ids {
                numbers.push(number(&buffer, id).await?);
            }
            FailedQuery::Numbers(numbers)
        }
    };
    if let Change::Discard(sure) = change {
        let known = buffer.failed_by_reason().await.map_err(fault_of)?;
        let meant = match &query {
            FailedQuery::All => known.iter().map(|(_, n)| n).sum(),
            FailedQuery::Reason(code) => known.iter().filter(|(c, _)| c == code).map(|(_, n)| n).sum(),
            FailedQuery::Numbers(numbers) => numbers.len() as u64,
        };
        let lost = format!(
            "{} deleted; there is no other copy. To keep one first: heyho failed export FILE.",
            count(meant, "failed record")
        );
        context.out.sure(sure.yes, &lost)?;
    }
    let (done, said) = match change {
        Change::Retry => (buffer.retry_failed(&query).await, "sent again with the next sync"),
        Change::Discard(_) => (buffer.discard_failed(&query).await, "deleted"),
        Change::Keep => (buffer.keep_failed(&query).await, "kept quietly"),
    };
    let done = done.map_err(fault_of)?;
    match change {
        // Whoever retries wants it tried now; without an agent, or while it cannot be, it waits its turn.
        Change::Retry => request_sync(context).await,
        Change::Discard(_) | Change::Keep => nudge(context).await,
    }
    context
        .out
        .say(&serde_json::json!({ "count": done }), |_| format!("{}: {said}.", count(done, "record")))?;
    match query {
        FailedQuery::Numbers(numbers) if done < numbers.len() as u64 => {
            left_over(&buffer, &numbers, numbers.len() as u64 - done).await
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Numbers nothing was done about: they are no failed records, or stay what they are.
async fn left_over(buffer: &Buffer, numbers: &[i64], left: u64) -> Result<ExitCode, Fault> {
    let mut unknown = Vec::new();
    for number in numbers {
        // What was discarded is gone as well, but then nothing is left over of it.
        if buffer.failed_one(*number).await.map_err(fault_of)?.is_none() {
            unknown.push(number.to_string());
        }
    }
    let still_failed = numbers.len() - unknown.len();
    let text = match still_failed as u64 {
        n if n >= left => format!(
            "{} cannot be sent again, or was kept quietly before: see heyho failed show",
            count(left, "record")
        ),
        _ => {
            let are = if left == 1 { "is no failed record" } else { "are no failed records" };
            format!("{left} of these numbers {are}")
        }
    };
    Err(Fault::new(FaultCode::NotFound, text))
}
