//! `browsers`: which browsers know the host, and which are connected.

use crate::Context;
use crate::args::Browsers;
use heyho_local::browsers::{self, BrowserRow, BrowserState, Form, OptOut, Registration, Roots, System};
use heyho_local::clock;
use heyho_local::config::{self, Config};
use heyho_local::vocabulary::{Fault, FaultCode};
use std::process::ExitCode;

pub async fn browsers(context: &Context, command: &Browsers) -> Result<ExitCode, Fault> {
    let all = all(context)?;
    let mut config = context.config.clone();
    match command {
        Browsers::List => {}
        Browsers::Register { browser } => {
            known(&all, browser.as_deref())?;
            config = wish(context, config, browser.as_deref(), true)?;
            browsers::register(&all, browser.as_deref()).map_err(failed)?;
        }
        Browsers::Unregister { browser } => {
            known(&all, browser.as_deref())?;
            config = wish(context, config, browser.as_deref(), false)?;
            browsers::unregister(&all, browser.as_deref()).map_err(failed)?;
        }
    }
    let rows = survey(context, &all, &config.opt_out()).await;
    context.out.say(&rows, |rows| table(rows))?;
    Ok(ExitCode::SUCCESS)
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

/// What the user wants is remembered, or the next start would undo it.
fn wish(context: &Context, config: Config, browser: Option<&str>, registered: bool) -> Result<Config, Fault> {
    let file = context.paths.config_file();
    let set = |key: &str, value: serde_json::Value| {
        config::set(&file, key, &value).map_err(|e| Fault::new(FaultCode::Configuration, e.to_string()))
    };
    let Some(browser) = browser.map(str::to_lowercase) else {
        let config = match config.register_browsers == registered {
            true => config,
            false => set("browsers.register", registered.into())?,
        };
        return match registered && !config.skipped_browsers.is_empty() {
            true => set("browsers.skip", serde_json::Value::Null),
            false => Ok(config),
        };
    };
    let mut skipped = config.skipped_browsers.clone();
    skipped.retain(|name| !name.eq_ignore_ascii_case(&browser));
    if !registered {
        skipped.push(browser);
    }
    match skipped == config.skipped_browsers {
        true => Ok(config),
        false => set("browsers.skip", skipped.into()),
    }
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

fn failed(error: std::io::Error) -> Fault {
    Fault::new(FaultCode::Failed, format!("a manifest cannot be written: {error}"))
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
    }
    lines.join("\n")
}

fn name(row: &BrowserRow) -> String {
    match row.form {
        Form::Package => row.name.clone(),
        Form::Flatpak => format!("{} (flatpak)", row.name),
        Form::Snap => format!("{} (snap)", row.name),
    }
}

/// Whether records can come from it, now or when it runs.
pub fn is_well(row: &BrowserRow) -> bool {
    matches!(row.state, BrowserState::Connected | BrowserState::Seen | BrowserState::Registered)
}
