//! `failed` and `export`. These work on the buffer itself, with or without an agent.

use crate::args::{Failed, Which};
use crate::link::{nudge, request_sync};
use crate::sync::{failed as fault_of, open};
use crate::{Context, sentence};
use heyho_agent::shown;
use heyho_buffer::FailedQuery;
use heyho_local::clock::{Clock, SystemClock};
use heyho_local::vocabulary::{FailedRecord, Fault, FaultCode};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const PAGE: u32 = 1_000;

pub async fn failed(context: &Context, command: Failed) -> Result<ExitCode, Fault> {
    match command {
        Failed::List => list(context).await,
        Failed::Show { id } => show(context, id).await,
        Failed::Export { file } => export(context, &file, None, true).await,
        Failed::Retry(which) => change(context, which, "wait again", Change::Retry).await,
        Failed::Discard(which) => change(context, which, "deleted", Change::Discard).await,
        Failed::Keep(which) => change(context, which, "kept quietly", Change::Keep).await,
    }
}

async fn list(context: &Context) -> Result<ExitCode, Fault> {
    let buffer = open(context).await?;
    let (mut records, mut after) = (Vec::new(), 0);
    loop {
        let page = buffer.failed(after, PAGE, None).await.map_err(fault_of)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        records.extend(page.into_iter().map(|failed| shown(failed, false)));
    }
    context.out.say(&records, |records| table(records))?;
    Ok(ExitCode::SUCCESS)
}

fn table(records: &[FailedRecord]) -> String {
    if records.is_empty() {
        return "No record has failed.".to_owned();
    }
    let now = SystemClock.now();
    let lines = records.iter().map(|r| {
        let what = r.title.as_deref().or(r.host.as_deref()).unwrap_or(&r.id);
        let what: String = what.chars().take(40).collect();
        let quiet = if r.kept { " (kept quietly)" } else { "" };
        format!(
            "{:>6}  {:<12}  {:<40}  {} ago{quiet}\n        {}",
            r.number,
            r.kind.name(),
            what,
            sentence::ago(r.last_at, now),
            r.text
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

async fn show(context: &Context, id: i64) -> Result<ExitCode, Fault> {
    let found = open(context).await?.failed_one(id).await.map_err(fault_of)?;
    let record = found
        .map(|failed| shown(failed, true))
        .ok_or_else(|| Fault::new(FaultCode::NotFound, format!("there is no failed record {id}")))?;
    context.out.say(&record, |r| {
        format!("{}\n{}", table(std::slice::from_ref(r)), r.record.as_deref().unwrap_or_default())
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy)]
enum Change {
    Retry,
    Discard,
    Keep,
}

async fn change(context: &Context, which: Which, said: &str, change: Change) -> Result<ExitCode, Fault> {
    let asked = which.ids.len() as u64;
    let query = if which.all { FailedQuery::All } else { FailedQuery::Numbers(which.ids.clone()) };
    let buffer = open(context).await?;
    let done = match &change {
        Change::Retry => buffer.retry_failed(&query).await,
        Change::Discard => buffer.discard_failed(&query).await,
        Change::Keep => buffer.keep_failed(&query).await,
    };
    let count = done.map_err(fault_of)?;
    match change {
        // Whoever retries wants it tried now; without an agent, or while it cannot be, it waits its turn.
        Change::Retry => request_sync(context).await,
        Change::Discard | Change::Keep => nudge(context).await,
    }
    context.out.say(&serde_json::json!({ "count": count }), |_| match count {
        1 => format!("1 record: {said}."),
        n => format!("{n} records: {said}."),
    })?;
    if !which.all && count < asked {
        let missing = asked - count;
        return Err(Fault::new(
            FaultCode::NotFound,
            format!("{missing} of these numbers are no failed record"),
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn export(
    context: &Context,
    file: &Path,
    account: Option<&str>,
    only_failed: bool,
) -> Result<ExitCode, Fault> {
    let unwritable = |e: std::io::Error| {
        Fault::new(FaultCode::Failed, format!("{} cannot be written: {e}", file.display()))
    };
    let buffer = open(context).await?;
    let to_stdout = file == Path::new("-");
    let mut out: Box<dyn Write> = if to_stdout {
        Box::new(std::io::stdout().lock())
    } else {
        Box::new(std::io::BufWriter::new(private(file).map_err(unwritable)?))
    };
    let mut reader = buffer.export(account, only_failed);
    let mut count = 0u64;
    loop {
        let lines = reader.next().await.map_err(fault_of)?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            let json =
                serde_json::to_string(&line).map_err(|e| Fault::new(FaultCode::Failed, e.to_string()))?;
            writeln!(out, "{json}").map_err(unwritable)?;
            count += 1;
        }
    }
    out.flush().map_err(unwritable)?;
    drop(out);
    if !to_stdout {
        context.out.say(&serde_json::json!({ "exported": count }), |_| {
            format!("{count} records written to {}.", file.display())
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is exported is somebody's history: for this user alone, and never over another file.
fn private(file: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(file)
}
