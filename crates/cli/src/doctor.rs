//! `doctor`: looks at each part, says how it stands and what to do.

use crate::browsers::{all, is_well, rows};
use crate::link::running;
use crate::sync::open;
use crate::{Context, sentence};
use heyho_agent::{FileStore, KeyringStore, TokenStore, driver};
use heyho_local::config::{Config, TokenStore as Wanted};
use heyho_local::vocabulary::Fault;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    part: &'static str,
    good: bool,
    text: String,
    /// What to do about it.
    advice: Option<String>,
}

pub async fn doctor(context: &Context) -> Result<ExitCode, Fault> {
    let mut findings =
        vec![settings(context), database(context).await, agent(context).await, tokens(context).await];
    findings.push(backend(context).await);
    findings.extend(browsers(context).await);
    let all_good = findings.iter().all(|f| f.good);
    context.out.say(&findings, |findings| {
        let lines = findings.iter().map(|f| {
            let advice = f.advice.as_deref().map_or(String::new(), |a| format!("\n           {a}"));
            format!("{:<4} {:<10}{}{advice}", if f.good { "ok" } else { "!!" }, f.part, f.text)
        });
        lines.collect::<Vec<_>>().join("\n")
    })?;
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn good(part: &'static str, text: impl Into<String>) -> Finding {
    Finding { part, good: true, text: text.into(), advice: None }
}

fn bad(part: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { part, good: false, text: text.into(), advice: Some(advice.into()) }
}

fn settings(context: &Context) -> Finding {
    let file = context.paths.config_file();
    match Config::load(&file) {
        Ok(config) if config.warnings.is_empty() => good("settings", file.display().to_string()),
        Ok(config) => bad("settings", config.warnings.join("; "), "check the spelling of these keys"),
        Err(e) => bad("settings", e.to_string(), "mend the file, or use: heyho config set KEY VALUE"),
    }
}

async fn database(context: &Context) -> Finding {
    match open(context).await {
        Ok(buffer) => {
            let size = std::fs::metadata(buffer.path()).map_or(0, |m| m.len());
            good("database", format!("{} ({})", buffer.path().display(), sentence::size(size)))
        }
        Err(fault) => bad("database", fault.text, "nothing was changed; keep the file and report this"),
    }
}

async fn agent(context: &Context) -> Finding {
    match running(context).await {
        Some(_) => good("agent", "running"),
        None => bad("agent", "not running", "start HeyHo Companion, or: heyho agent"),
    }
}

async fn tokens(context: &Context) -> Finding {
    let store: Box<dyn TokenStore> = match context.config.tokens {
        Wanted::Keyring => Box::new(KeyringStore),
        Wanted::File => Box::new(FileStore::new(context.paths.token_file())),
    };
    let loaded = tokio::task::spawn_blocking(move || store.load()).await;
    match loaded {
        Ok(Ok(Some(_))) => good("tokens", "a session is stored"),
        Ok(Ok(None)) => good("tokens", "the store works; nobody is signed in"),
        Ok(Err(e)) => bad(
            "tokens",
            e.to_string(),
            "unlock or install a keyring, or put store = \"file\" under [tokens] in the settings",
        ),
        Err(e) => bad("tokens", e.to_string(), "report this"),
    }
}

async fn backend(context: &Context) -> Finding {
    let url = &context.config.backend.url;
    let driver = match driver(&context.config, "doctor") {
        Ok(driver) => driver,
        Err(fault) => return bad("backend", fault.text, "heyho config set backend.url URL"),
    };
    match driver.capabilities().await {
        Ok(answer) if answer.status == 200 => good("backend", format!("{url} answers")),
        Ok(answer) if answer.status == 404 => good("backend", format!("{url} answers, in baseline mode")),
        Ok(answer) => {
            bad("backend", format!("{url} answers with status {}", answer.status), "check the address")
        }
        Err(error) => bad("backend", format!("{url}: {error}"), "check the network and the address"),
    }
}

async fn browsers(context: &Context) -> Vec<Finding> {
    let all = match all(context) {
        Ok(all) => all,
        Err(fault) => return vec![bad("browsers", fault.text, "install heyho-host beside heyho")],
    };
    let findings = rows(context, &all).await.into_iter().map(|row| {
        let text = format!("{}: {}", row.name, row.sentence);
        match (is_well(&row), row.command, row.can_register) {
            (true, ..) => good("browsers", text),
            (false, Some(command), _) => bad("browsers", text, command),
            (false, None, true) => bad("browsers", text, format!("heyho browsers register {}", row.browser)),
            (false, None, false) => Finding { good: false, ..good("browsers", text) },
        }
    });
    findings.collect()
}
