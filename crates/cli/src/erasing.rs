//! `forget`, `discard --account`, `erase`: through the agent, or being one for the length of the command, because
//! the agent's memory and the extensions' outboxes have to forget too.

use crate::Context;
use crate::args::Sure;
use crate::link::Link;
use crate::sync::{current_status, open};
use heyho_local::presence;
use heyho_local::vocabulary::{Count, Fault, FaultCode, Forgotten, Request, ask};
use heyho_records::words::count;
use std::io::IsTerminal;
use std::process::ExitCode;

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
        let own = status.account.filter(|own| own.email == account || own.r#ref == account);
        let others = status.other_accounts.iter().filter(|o| o.email == account || o.r#ref == account);
        let (mut waiting, mut failed) = others.fold((0, 0), |sum, o| (sum.0 + o.waiting, sum.1 + o.failed));
        if own.is_some() {
            waiting += status.backlog.records();
            failed += status.failed
                - status.other_accounts.iter().map(|o| o.failed).sum::<u64>().min(status.failed);
        }
        let lost = format!(
            "Of {account}, {} and {} will be deleted. They are the only copies; to keep one first: heyho export \
             FILE --account {account}",
            count(waiting, "waiting record"),
            count(failed, "failed record")
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
    let others: u64 = status.other_accounts.iter().map(|o| o.waiting).sum();
    let waiting = status.backlog.records() + status.unclaimed + others;
    let lost = format!(
        "Every record that is kept here will be deleted: {} and {}, of everybody. They are the only copies; to keep \
         one first: heyho export FILE.",
        count(waiting, "waiting record"),
        count(status.failed, "failed record")
    );
    context.out.sure(sure.yes, &lost)?;
    let link = Link::join(context, false).await?;
    let done = ask::<Count>(link.companion.as_ref(), Request::Erase).await;
    link.end().await;
    context.out.say(&done?, |done| {
        format!("{} deleted. Nothing is kept here any more. {NOT_REACHED}", count(done.count, "record"))
    })?;
    Ok(ExitCode::SUCCESS)
}
