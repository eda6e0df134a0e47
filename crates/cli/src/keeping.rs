//! `export` and `import`: what is kept here, out and in again. These work on the buffer itself, with or without
//! an agent.

use crate::Context;
use crate::args::Target;
use crate::link::nudge;
use crate::output::unwritable;
use crate::progress::Steps;
use crate::sync::{failed as fault_of, open};
use heyho_agent::export::{What, to, to_file};
use heyho_buffer::{ImportLine, Imported};
use heyho_local::clock::{Clock, SystemClock};
use heyho_local::vocabulary::{Fault, FaultCode};
use heyho_records::words::count;
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

/// Lines in one transaction: hosts write in between.
const PAGE: usize = 500;
/// Bad lines that are named; the rest is counted.
const NAMED: usize = 10;
const BAD_DATA: u8 = 65;

pub async fn import(context: &Context, file: &Path) -> Result<ExitCode, Fault> {
    let unreadable = |e: std::io::Error| {
        let why = match e.kind() {
            ErrorKind::NotFound => "it is not there".to_owned(),
            ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
            ErrorKind::IsADirectory => "it is a folder".to_owned(),
            ErrorKind::InvalidData => "it is no text in UTF-8".to_owned(),
            _ => e.to_string(),
        };
        Fault::new(FaultCode::Failed, format!("{} cannot be read: {why}", file.display()))
    };
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(std::fs::File::open(file).map_err(unreadable)?))
    };
    let buffer = open(context).await?;
    let (mut total, mut bad, mut page) = (Imported::default(), 0usize, Vec::new());
    let mut lines = input.lines().enumerate().peekable();
    let steps = Steps::new("read");
    while let Some((number, line)) = lines.next() {
        let line = line.map_err(unreadable)?;
        steps.one_more();
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
    drop(steps);
    nudge(context).await;
    let facts = serde_json::json!({ "stored": total.stored, "updated": total.updated,
        "unchanged": total.unchanged, "bad": bad });
    context.out.say(&facts, |_| {
        let mut text = format!(
            "{} stored, {} updated, {} were here already.",
            count(total.stored, "record"),
            total.updated,
            total.unchanged
        );
        if bad > 0 {
            text.push_str(&format!(" {} could not be taken in.", count(bad as u64, "line")));
        }
        text
    })?;
    Ok(if bad > 0 { ExitCode::from(BAD_DATA) } else { ExitCode::SUCCESS })
}

/// Everything, or one account's, or what failed.
pub async fn export(
    context: &Context,
    target: &Target,
    account: Option<&str>,
    failed: bool,
) -> Result<ExitCode, Fault> {
    let buffer = open(context).await?;
    if let Some(account) = account {
        let known = buffer.accounts().await.map_err(fault_of)?;
        if !known.iter().any(|known| known.email == account || known.r#ref == account) {
            let there: Vec<&str> = known.iter().map(|known| known.email.as_str()).collect();
            let text = match there.as_slice() {
                [] => format!("nothing is kept here for {account}, nor for anybody"),
                there => format!("nothing is kept here for {account}; there is: {}", there.join(", ")),
            };
            return Err(Fault::new(FaultCode::NotFound, text));
        }
    }
    let what = What { failed, account };
    let Target { file, force } = target;
    if file == Path::new("-") {
        // Nobody reads the lines of a bar among these.
        let shown = std::io::stdout().is_terminal();
        let steps = (!shown).then(|| Steps::new("written"));
        let step = || steps.iter().for_each(Steps::one_more);
        to(&buffer, &mut std::io::stdout(), &what, &unwritable, &step).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let steps = Steps::new("written");
    let written = to_file(&buffer, file, &what, *force, &|| steps.one_more()).await?;
    drop(steps);
    context.out.say(&serde_json::json!({ "exported": written }), |_| {
        format!("{} written to {}.", count(written, "record"), file.display())
    })?;
    Ok(ExitCode::SUCCESS)
}
