//! `waiting list` and `waiting discard`: what is kept here and not sent yet.

use crate::Context;
use crate::args::Waiting;
use crate::link::nudge;
use crate::printable::on_one_line;
use crate::sync::{failed as fault_of, open};
use heyho_agent::waiting_record;
use heyho_buffer::Buffer;
use heyho_local::clock::{Clock, SystemClock};
use heyho_local::vocabulary::{Fault, FaultCode, WaitingRecord};
use heyho_records::words::{self, count};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::process::ExitCode;

const PAGE: u32 = 1_000;

pub async fn waiting(context: &Context, command: Waiting) -> Result<ExitCode, Fault> {
    let buffer = open(context).await?;
    match command {
        Waiting::List { search } => {
            let clock = SystemClock;
            let (mut list, mut after) = (context.out.list(), Some(0));
            while let Some(from) = after {
                let page = buffer
                    .waiting_page(from, PAGE, search.as_deref(), clock.now_ms())
                    .await
                    .map_err(fault_of)?;
                after = page.next;
                for row in page.rows {
                    list.item(&waiting_record(row), |record| line(record, clock.now()))?;
                }
            }
            let nothing = match search {
                Some(words) => format!("Nothing that waits has {words:?} in title or address."),
                None => "Nothing waits.".to_owned(),
            };
            list.end(&nothing)?;
        }
        Waiting::Discard { numbers, sure } => {
            let numbers: Vec<i64> = numbers.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            let meant = meant(&buffer, &numbers).await?;
            if meant > 0 {
                let lost = format!(
                    "{} will be deleted before being sent; there is no other copy.",
                    count(meant, "record")
                );
                context.out.sure(sure.yes, &lost)?;
            }
            let done = buffer.discard_waiting(&numbers).await.map_err(fault_of)?;
            nudge(context).await;
            context.out.say(&serde_json::json!({ "count": done }), |_| {
                format!("{} deleted.", count(done, "record"))
            })?;
            let missing = (numbers.len() as u64).saturating_sub(done);
            if missing > 0 {
                let are = if missing == 1 { "is" } else { "are" };
                let text = format!("{missing} of these numbers {are} not waiting");
                return Err(Fault::new(FaultCode::NotFound, text));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many of these numbers wait.
async fn meant(buffer: &Buffer, numbers: &[i64]) -> Result<u64, Fault> {
    let mut meant = 0;
    for number in numbers {
        let before = number.saturating_sub(1);
        let page = buffer.waiting_page(before, 1, None, SystemClock.now_ms()).await.map_err(fault_of)?;
        meant += u64::from(page.rows.first().is_some_and(|row| row.number == *number));
    }
    Ok(meant)
}

fn line(record: &WaitingRecord, now: Timestamp) -> String {
    let what = record.title.as_deref().or(record.host.as_deref()).unwrap_or(&record.id);
    let mut facts = vec![
        whose(record.account.as_deref(), record.own),
        words::size(record.bytes),
        words::ago(record.captured_at, now),
    ];
    facts.extend(record.held_until.map(|until| format!("held for another {}", words::span(now, until))));
    let address = record.url.as_deref().map_or(String::new(), |url| format!("\n        {url}"));
    format!(
        "{:>6}  {:<12}  {}{address}\n        {}",
        record.number,
        record.kind.name(),
        cut(what),
        facts.join(", ")
    )
}

/// The same address may be known at two backends.
pub fn whose(account: Option<&str>, own: bool) -> String {
    match (account, own) {
        (None, _) => "nobody's yet".to_owned(),
        (Some(account), true) => account.to_owned(),
        (Some(account), false) => format!("{account}, not signed in"),
    }
}

/// Titles are as long as pages want them.
pub fn cut(text: &str) -> String {
    const MOST: usize = 72;
    let text = on_one_line(text);
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
