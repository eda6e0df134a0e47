//! `failed`: what could not be delivered. Works on the buffer itself, with or without an agent.

use crate::Context;
use crate::args::{self, Sure, Which};
use crate::link::{nudge, request_sync};
use crate::sync::{failed as fault_of, open};
use crate::waiting::{cut, whose};
use heyho_agent::shown;
use heyho_buffer::{Buffer, BufferError, Failed, FailedQuery};
use heyho_local::clock::{Clock, SystemClock};
use heyho_local::vocabulary::{FailedRecord, Fault, FaultCode};
use heyho_records::reason::Reason;
use heyho_records::words::{self, count, number as number_of};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

const PAGE: u32 = 1_000;
/// As many numbers are said one by one.
const NAMED: usize = 5;
const REJECTED_AT_CAPTURE: &str = "rejected_at_capture";

pub async fn failed(context: &Context, command: args::Failed) -> Result<ExitCode, Fault> {
    use args::Failed;
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
        "{:>6}  {:<12}  {}{address}\n        {} ({}, {}, {}{quiet})",
        record.number,
        record.kind.name(),
        cut(what),
        record.text,
        whose(record.account.as_deref(), record.own),
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
        format!(
            "{}\n        first {}, id {}\n{}\n{}",
            lines(record, SystemClock.now()),
            record.first_at,
            record.id,
            record.record.as_deref().unwrap_or_default(),
            what_to_do(record)
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn what_to_do(record: &FailedRecord) -> String {
    let again = match &record.reason {
        Reason::RejectedAtCapture { .. } => "It cannot be sent again: not acceptable as captured.".to_owned(),
        _ => format!("To send it again, once the cause is mended: heyho failed retry {}.", record.number),
    };
    format!(
        "{again} To delete it: heyho failed discard {0}; to keep it without being asked: heyho failed keep {0}.",
        record.number
    )
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
    let meant = meant(&buffer, &query).await?;
    if let Change::Discard(sure) = change
        && !meant.is_empty()
    {
        context.out.sure(sure.yes, &lost(&meant))?;
    }
    let done = match change {
        Change::Retry => buffer.retry_failed(&query).await,
        Change::Discard(_) => discard(&buffer, &query, &meant).await,
        Change::Keep => buffer.keep_failed(&query).await,
    };
    let done = done.map_err(fault_of)?;
    match change {
        // Whoever retries wants it tried now; without an agent, or while it cannot be, it waits its turn.
        Change::Retry => request_sync(context).await,
        Change::Discard(_) | Change::Keep => nudge(context).await,
    }
    context.out.say(&serde_json::json!({ "count": done }), |_| match change {
        Change::Retry => retried(&meant),
        Change::Discard(_) => format!("{}: deleted.", count(done, "record")),
        Change::Keep => format!("{}: kept quietly.", count(done, "record")),
    })?;
    match query {
        FailedQuery::Numbers(numbers) => left_over(&numbers, &meant, change),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What had failed when somebody was asked: runs go on meanwhile, and what failed since nobody has seen.
async fn discard(buffer: &Buffer, query: &FailedQuery, meant: &[Failed]) -> Result<u64, BufferError> {
    let numbers = meant.iter().map(|failed| failed.seq).collect();
    let done = buffer.discard_failed(&FailedQuery::Numbers(numbers)).await?;
    // What is left of chosen ones is removed soon, of all of them at once: it stands gone whatever comes of this.
    if matches!(query, FailedQuery::All)
        && let Err(error) = buffer.finish_erasing().await
    {
        tracing::error!("what was deleted has left traces, which are removed later: {error}");
    }
    Ok(done)
}

/// What is known of the records that are meant, before anything is done to them.
async fn meant(buffer: &Buffer, query: &FailedQuery) -> Result<Vec<Failed>, Fault> {
    let mut meant = Vec::new();
    match query {
        FailedQuery::Numbers(numbers) => {
            for number in numbers.iter().collect::<BTreeSet<_>>() {
                meant.extend(buffer.failed_one(*number).await.map_err(fault_of)?.map(without_text));
            }
        }
        FailedQuery::All | FailedQuery::Reason(_) => {
            let reason = if let FailedQuery::Reason(code) = query { Some(code.as_str()) } else { None };
            let mut after = 0;
            loop {
                let page = buffer.failed(after, PAGE, reason).await.map_err(fault_of)?;
                let Some(last) = page.last() else { break };
                after = last.seq;
                meant.extend(page.into_iter().map(without_text));
            }
        }
    }
    Ok(meant)
}

/// There may be many.
fn without_text(failed: Failed) -> Failed {
    Failed { text: String::new(), ..failed }
}

/// How many there are of each account that is not signed in, and of nobody (`None`).
fn others<'a>(meant: impl Iterator<Item = &'a Failed>) -> BTreeMap<Option<&'a str>, u64> {
    let mut others = BTreeMap::new();
    for failed in meant.filter(|failed| !failed.own) {
        *others.entry(failed.email.as_deref()).or_default() += 1;
    }
    others
}

fn lost(meant: &[Failed]) -> String {
    let of = others(meant.iter()).into_iter().filter_map(|(account, n)| Some((account?, n)));
    let of: String = of.map(|(account, n)| format!(", {} of {account}", number_of(n))).collect();
    format!(
        "{}{of} will be deleted; there is no other copy. To keep one first: heyho failed export FILE.",
        count(meant.len() as u64, "failed record")
    )
}

/// What becomes of each: a record goes with its own account only.
fn retried(meant: &[Failed]) -> String {
    let goes = || meant.iter().filter(|failed| can_go(failed));
    let others = others(goes());
    let own = goes().count() as u64 - others.values().sum::<u64>();
    let mut said = Vec::new();
    if meant.is_empty() {
        return "Nothing was there to be sent again.".to_owned();
    }
    if own > 0 {
        said.push(format!("{}: sent again with the next sync.", count(own, "record")));
    }
    said.extend(others.into_iter().map(|(account, n)| match account {
        Some(account) => {
            format!("{} of {account}: sent when that account is signed in.", count(n, "record"))
        }
        None => format!("{} of nobody yet: sent once claimed.", count(n, "record")),
    }));
    let stay: Vec<i64> = meant.iter().filter(|failed| !can_go(failed)).map(|failed| failed.seq).collect();
    if !stay.is_empty() {
        let it = if stay.len() == 1 { "it" } else { "them" };
        let which = match stay.len() {
            1..=NAMED => stay.iter().map(i64::to_string).collect::<Vec<_>>().join(" "),
            _ => format!("--reason {REJECTED_AT_CAPTURE}"),
        };
        said.push(format!(
            "{} cannot be sent again: not acceptable as captured. To delete {it}: heyho failed discard {which}; to \
             keep {it} without being asked: heyho failed keep {which}.",
            count(stay.len() as u64, "record")
        ));
    }
    said.join("\n")
}

fn can_go(failed: &Failed) -> bool {
    !matches!(failed.reason, Reason::RejectedAtCapture { .. })
}

/// Numbers nothing was done about: they are no failed records, or stay what they are, and why.
fn left_over(numbers: &[i64], meant: &[Failed], change: Change) -> Result<ExitCode, Fault> {
    let mut left: Vec<String> = meant
        .iter()
        .filter_map(|failed| match change {
            Change::Retry if !can_go(failed) => {
                Some(format!("{} cannot be sent again. {}", failed.seq, failed.reason.text()))
            }
            Change::Keep if failed.kept => Some(format!("{} was kept quietly before", failed.seq)),
            _ => None,
        })
        .collect();
    let unknown = numbers.iter().filter(|number| meant.iter().all(|failed| failed.seq != **number));
    left.extend(unknown.map(|number| format!("{number} is no failed record")));
    match left.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Fault::new(FaultCode::NotFound, left.join("; "))),
    }
}
