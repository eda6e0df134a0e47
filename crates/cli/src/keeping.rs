//! `import`, `waiting list`, `discard --account`, `forget`: what is kept here, beside the failed. These work
//! on the buffer itself, with or without an agent.

use crate::Context;
use crate::link::nudge;
use crate::sync::{failed as fault_of, open};
use heyho_buffer::{Erased, ImportLine, Imported};
use heyho_local::clock::{Clock, SystemClock};
use heyho_local::vocabulary::{Fault, FaultCode};
use serde::Serialize;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;

/// Lines in one transaction: hosts write in between.
const PAGE: usize = 500;
/// Bad lines that are named; the rest is counted.
const NAMED: usize = 10;
const BAD_DATA: u8 = 65;

pub async fn import(context: &Context, file: &Path) -> Result<ExitCode, Fault> {
    let unreadable =
        |e: std::io::Error| Fault::new(FaultCode::Failed, format!("{} cannot be read: {e}", file.display()));
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(std::fs::File::open(file).map_err(unreadable)?))
    };
    let buffer = open(context).await?;
    let (mut total, mut bad, mut page) = (Imported::default(), 0usize, Vec::new());
    let mut lines = input.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let line = line.map_err(unreadable)?;
        if !line.trim().is_empty() {
            match ImportLine::read(&line) {
                Ok(line) => page.push(line),
                Err(error) => {
                    bad += 1;
                    if bad <= NAMED {
                        eprintln!("heyho: {}, line {}: {error}", file.display(), number + 1);
                    }
                }
            }
        }
        if page.len() >= PAGE || lines.peek().is_none() {
            let now = SystemClock.now_ms();
            let done = buffer.import(&page, now).await.map_err(fault_of)?;
            total.stored += done.stored;
            total.updated += done.updated;
            total.unchanged += done.unchanged;
            page.clear();
        }
    }
    nudge(context).await;
    let facts = serde_json::json!({ "stored": total.stored, "updated": total.updated,
        "unchanged": total.unchanged, "bad": bad });
    context.out.say(&facts, |_| {
        format!(
            "{} records stored, {} updated, {} were here already; {bad} lines could not be taken in.",
            total.stored, total.updated, total.unchanged
        )
    })?;
    Ok(if bad > 0 { ExitCode::from(BAD_DATA) } else { ExitCode::SUCCESS })
}

/// One record that waits, as it is listed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    kind: heyho_records::Kind,
    id: String,
    source: String,
    account: Option<String>,
    captured_at: String,
    bytes: usize,
}

pub async fn waiting(context: &Context) -> Result<ExitCode, Fault> {
    let buffer = open(context).await?;
    let (mut reader, mut listed) = (buffer.export(None, false), Vec::new());
    loop {
        let lines = reader.next().await.map_err(fault_of)?;
        if lines.is_empty() {
            break;
        }
        listed.extend(lines.into_iter().filter(|line| line.state == "waiting").map(|line| Listed {
            kind: line.kind,
            id: line.id,
            source: line.source,
            account: line.account.map(|account| account.email),
            captured_at: line.captured_at,
            bytes: line.record.get().len(),
        }));
    }
    context.out.say(&listed, |listed| {
        if listed.is_empty() {
            return "Nothing waits.".to_owned();
        }
        let lines = listed.iter().map(|r| {
            let account = r.account.as_deref().unwrap_or("(nobody yet)");
            format!("{}  {:<12}  {:<40}  {account}", r.captured_at, r.kind.name(), r.id)
        });
        lines.collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

pub async fn discard(context: &Context, email: &str) -> Result<ExitCode, Fault> {
    let erased = open(context).await?.discard_account(email).await.map_err(fault_of)?;
    say(context, erased, &format!("of {email}")).await
}

pub async fn forget(context: &Context, domain: &str) -> Result<ExitCode, Fault> {
    let name = domain.trim().trim_start_matches("*.").trim_end_matches('.');
    let good = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(good) {
        return Err(Fault::new(FaultCode::Usage, format!("{domain:?} is no domain; such as example.com")));
    }
    let erased = open(context).await?.forget(name).await.map_err(fault_of)?;
    say(context, erased, &format!("about {name}")).await
}

async fn say(context: &Context, erased: Erased, what: &str) -> Result<ExitCode, Fault> {
    nudge(context).await;
    let facts = serde_json::json!({ "records": erased.records(), "changed": erased.changed,
        "copies": erased.copies, "logEmptied": erased.log_emptied });
    context.out.say(&facts, |_| {
        let mut text = format!("{} records {what} deleted, {} changed.", erased.records(), erased.changed);
        if erased.copies > 0 {
            text.push_str(&format!(" {} backups and set-aside files deleted.", erased.copies));
        }
        if !erased.log_emptied {
            text.push_str(" Another program is reading: the last traces go when it ends.");
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}
