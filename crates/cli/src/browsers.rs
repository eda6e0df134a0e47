//! `browsers`: which browsers know the host, and which are connected.

use crate::Context;
use crate::args::Browsers;
use crate::printable::on_one_line;
use heyho_local::browsers::{self, BrowserRow, BrowserState, Form, OptOut, Registration, Roots, System};
use heyho_local::clock;
use heyho_local::vocabulary::{Fault, FaultCode};
use std::process::ExitCode;

pub async fn browsers(context: &Context, command: &Browsers) -> Result<ExitCode, Fault> {
    let all = all(context)?;
    let mut config = context.config.clone();
    let file = context.paths.config_file();
    let mut held = false;
    match command {
        Browsers::List => {}
        Browsers::Register { browser } => {
            known(&all, browser.as_deref())?;
            config = browsers::ask(&file, &config, &all, browser.as_deref(), true)?;
        }
        Browsers::Unregister { browser } => {
            known(&all, browser.as_deref())?;
            config = browsers::ask(&file, &config, &all, browser.as_deref(), false)?;
            let named = |one: &&Registration| {
                browser.as_ref().is_none_or(|name| one.browser.eq_ignore_ascii_case(name))
            };
            held = all.iter().filter(named).any(|one| browsers::held(one, &all, &config.opt_out()).is_some());
        }
    }
    let rows = survey(context, &all, &config.opt_out()).await;
    context.out.say(&rows, |rows| table(rows))?;
    // The row says why it is registered all the same.
    Ok(if held { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub fn all(context: &Context) -> Result<Vec<Registration>, Fault> {
    let roots = Roots::of_user()
        .ok_or_else(|| Fault::new(FaultCode::Configuration, "no home directory was found"))?;
    let host = browsers::host().map_err(|e| Fault::new(FaultCode::Failed, e.to_string()))?;
    Ok(browsers::registrations(System::here(), &roots, &host, &context.config.extensions))
}

/// What lies on the disk, and what the companion has heard, as far as it can be asked.
pub async fn rows(context: &Context, all: &[Registration]) -> Vec<BrowserRow> {
    survey(context, all, &context.config.opt_out()).await
}

async fn survey(context: &Context, all: &[Registration], opt_out: &OptOut) -> Vec<BrowserRow> {
    let heard = crate::sync::current_status(context).await.map(|status| status.browsers).unwrap_or_default();
    browsers::survey(all, &heard, opt_out, clock::system().now())
}

fn known(all: &[Registration], browser: Option<&str>) -> Result<(), Fault> {
    let Some(wanted) = browser else { return Ok(()) };
    if all.iter().any(|one| one.browser.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    let names: Vec<&str> = all.iter().map(|one| one.browser.as_str()).collect();
    let text = format!("there is no browser {wanted:?}; known are {}", names.join(", "));
    Err(Fault::new(FaultCode::Usage, text))
}

fn table(rows: &[BrowserRow]) -> String {
    if rows.is_empty() {
        return "No browser was found on this computer.".to_owned();
    }
    let mut lines = Vec::new();
    for row in rows {
        lines.push(format!("{:<24} {}", name(row), row.sentence));
        if row.can_register {
            lines.push(format!("{:<24} heyho browsers register {}", "", row.browser));
        }
        lines.extend(row.command.iter().map(|command| format!("{:<24} {command}", "")));
        lines.extend(row.changed.iter().map(|file| format!("{:<24} {}", "", file.display())));
    }
    lines.join("\n")
}

fn name(row: &BrowserRow) -> String {
    // An extension says what it likes.
    let name = on_one_line(&row.name);
    match row.form {
        Form::Package => name,
        Form::Flatpak => format!("{name} (flatpak)"),
        Form::Snap => format!("{name} (snap)"),
    }
}

/// Whether records can come from it, now or when it runs.
pub fn is_well(row: &BrowserRow) -> bool {
    matches!(row.state, BrowserState::Connected | BrowserState::Seen | BrowserState::Registered)
}
