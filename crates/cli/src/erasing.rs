//! `forget`, `discard --account`, `erase`: through the agent, or being one for the length of the command, because
//! the agent's memory and the extensions' outboxes have to forget too.

use crate::Context;
use crate::args::Sure;
use crate::link::Link;
use crate::sync::{current_status, open};
use heyho_local::presence;
use heyho_local::vocabulary::{Count, Fault, FaultCode, Forgotten, Request, ask};
use heyho_records::status::Status;
use heyho_records::words::count;
use std::io::IsTerminal;
use std::process::ExitCode;

/// In place of numbers.
const NOT_KNOWN: &str = "how much that is, is not known: the store cannot be read now";

/// Browsers are told to forget a site, not an account and not everything.
const NOT_REACHED: &str = "What a browser has not handed over yet comes when it does.";

pub async fn forget(context: &Context, domain: String, backend: bool, sure: Sure) -> Result<ExitCode, Fault> {
    let lost = format!(
        "All records of {domain} and its subdomains will be deleted, waiting and failed ones{}. To keep everything \
         first: heyho export FILE.",
        if backend { ", here and at the backend" } else { "" }
    );
    context.out.sure(sure.yes, &lost)?;
    let link = Link::join(context, false).await?;
    if link.is_agent() && presence::running(&context.paths.hosts()) > 0 {
        let within = presence::FOUND_WITHIN.as_secs();
        eprintln!(
            "No agent was running: the browsers that are open are told first, within {within} seconds."
        );
    }
    let forgotten = ask::<Forgotten>(link.companion.as_ref(), Request::Forget { domain, backend }).await;
    link.end().await;
    // What was not accepted was typed.
    let forgotten = forgotten.map_err(|fault| match fault.code {
        FaultCode::BadData => Fault { code: FaultCode::Usage, ..fault },
        _ => fault,
    })?;
    context.out.say(&forgotten, |forgotten| forgotten.text.clone())?;
    // It was asked for, and was not done.
    Ok(if backend && forgotten.backend.is_none() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

pub async fn discard(context: &Context, account: &str, sure: Sure) -> Result<ExitCode, Fault> {
    let buffer = open(context).await?;
    let known = buffer.accounts().await.map_err(crate::sync::failed)?;
    if known.iter().any(|known| known.email == account || known.r#ref == account) {
        let status = current_status(context).await?;
        let own = status.account.as_ref().filter(|own| own.email == account || own.r#ref == account);
        let others = status.other_accounts.iter().filter(|o| o.email == account || o.r#ref == account);
        let (mut waiting, mut failed) = others.fold((0, 0), |sum, o| (sum.0 + o.waiting, sum.1 + o.failed));
        if own.is_some() {
            waiting += status.backlog.records();
            failed += status.failed
                - status.other_accounts.iter().map(|o| o.failed).sum::<u64>().min(status.failed);
        }
        let what = match status.numbers_unknown {
            true => format!("everything that is kept here ({NOT_KNOWN})"),
            false => format!("{} and {}", count(waiting, "waiting record"), count(failed, "failed record")),
        };
        let lost = format!(
            "Of {account}, {what} will be deleted. They are the only copies; to keep one first: heyho export \
             FILE --account {account}"
        );
        context.out.sure(sure.yes, &lost)?;
    }
    let link = Link::join(context, false).await?;
    let request = Request::DiscardAccount { account: account.to_owned() };
    let done = ask::<Count>(link.companion.as_ref(), request).await;
    link.end().await;
    context
        .out
        .say(&done?, |done| format!("{} of {account} deleted. {NOT_REACHED}", count(done.count, "record")))?;
    Ok(ExitCode::SUCCESS)
}

pub async fn erase(context: &Context, sure: Sure) -> Result<ExitCode, Fault> {
    if !sure.yes && !std::io::stdin().is_terminal() {
        let text =
            "this deletes every record that is kept here; to do so without being asked: heyho erase --yes";
        return Err(Fault::new(FaultCode::Usage, text));
    }
    let status = current_status(context).await?;
    context.out.sure(sure.yes, &all_of(&status))?;
    let link = Link::join(context, false).await?;
    let done = ask::<Count>(link.companion.as_ref(), Request::Erase).await;
    link.end().await;
    context.out.say(&done?, |done| {
        format!("{} deleted. Nothing is kept here any more. {NOT_REACHED}", count(done.count, "record"))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is lost with everything.
fn all_of(status: &Status) -> String {
    let others: u64 = status.other_accounts.iter().map(|o| o.waiting).sum();
    let waiting = status.backlog.records() + status.unclaimed + others;
    let what = match status.numbers_unknown {
        true => format!(", of everybody ({NOT_KNOWN})"),
        false => format!(
            ": {} and {}, of everybody",
            count(waiting, "waiting record"),
            count(status.failed, "failed record")
        ),
    };
    format!(
        "Every record that is kept here will be deleted{what}. They are the only copies; to keep one first: heyho export \
         FILE."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_counted_is_not_said_to_be_nothing() {
        let unread = Status::broken("the disk answers with an error", false);
        assert!(all_of(&unread).contains("is not known"), "{}", all_of(&unread));
        assert!(!all_of(&unread).contains('0'));
        let read = Status { failed: 2, unclaimed: 1, numbers_unknown: false, ..unread };
        assert!(all_of(&read).contains("1 waiting record and 2 failed records"), "{}", all_of(&read));
    }
}
