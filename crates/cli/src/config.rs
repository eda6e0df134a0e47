//! `config`: through the agent where one runs, so that a change holds at once; else the file itself.

use crate::Context;
use crate::args::Config as Command;
use crate::link::running;
use crate::sync::current_status;
use heyho_local::config::{self, ConfigError};
use heyho_local::vocabulary::{Fault, FaultCode, Request, Setting, Settings, ask};
use heyho_records::words::waiting;
use serde_json::Value;
use std::process::ExitCode;

pub async fn config(context: &Context, command: Command) -> Result<ExitCode, Fault> {
    let path = context.paths.config_file();
    match command {
        Command::Path => {
            context.out.say(&serde_json::json!({ "path": path }), |_| path.display().to_string())?;
        }
        Command::Get { key: None } => {
            let settings = config::settings(&path);
            // Of a file that cannot be read nothing is known: its defaults would look like what it says.
            if settings.problem.as_ref().is_none_or(|problem| problem.key.is_some()) || context.out.json {
                context.out.say(&settings, all)?;
            }
            return problem(&settings);
        }
        Command::Get { key: Some(key) } => {
            let settings = config::settings(&path);
            let setting = find(&settings, &key)?;
            context.out.say(setting, |setting| shown(&setting.value))?;
            return problem(&settings);
        }
        Command::Set { key, value } => set(context, &key, config::typed(&key, &value)).await?,
        Command::Unset { key } => set(context, &key, Value::Null).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(context: &Context, key: &str, value: Value) -> Result<(), Fault> {
    let agent = running(context).await;
    let settings = match &agent {
        Some(client) => ask::<Settings>(client, Request::ConfigSet { key: key.to_owned(), value }).await?,
        None => {
            let path = context.paths.config_file();
            config::set(&path, key, &value)?;
            config::settings(&path)
        }
    };
    let setting = find(&settings, key)?;
    let moved = if key == "backend.url" { moved(context, setting).await } else { None };
    context.out.say(setting, |setting| {
        let now = shown(&setting.value);
        let said = match (agent.is_some(), setting.restart) {
            (true, true) => format!("{key} is {now} after the next start of the companion."),
            _ => format!("{key} is {now}."),
        };
        moved.map_or(said.clone(), |moved| format!("{said}\n{moved}"))
    })
}

/// An account is one backend's: at another one its session counts for nothing, and its records are not sent.
async fn moved(context: &Context, url: &Setting) -> Option<String> {
    let status = current_status(context).await.ok()?;
    let account = status.account.filter(|account| Some(account.backend.as_str()) != url.value.as_str())?;
    let n = status.backlog.records();
    let stay = match n {
        0 => String::new(),
        n => format!(" {} for that account stay here.", waiting(n)),
    };
    Some(format!(
        "{} is signed in at {} only. For this one: heyho login --email ….{stay}",
        account.email, account.backend
    ))
}

fn find<'a>(settings: &'a Settings, key: &str) -> Result<&'a Setting, Fault> {
    settings.settings.iter().find(|setting| setting.key == key).ok_or_else(|| {
        Fault::new(FaultCode::Usage, ConfigError::UnknownKey { key: key.to_owned() }.to_string())
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not set".to_owned(),
        value => value.to_string(),
    }
}

fn all(settings: &Settings) -> String {
    let mistaken = settings.problem.as_ref().and_then(|problem| problem.key.as_deref());
    let lines = settings.settings.iter().map(|setting| {
        let mark = match setting.set {
            true if mistaken == Some(setting.key.as_str()) => "  (default: what is set is not accepted)",
            true => "",
            false => "  (default)",
        };
        format!("{:<28}{}{mark}", setting.key, shown(&setting.value))
    });
    let rules = settings.rules.iter().map(|rule| {
        let (kind, action) = (serde_json::json!(rule.r#match), serde_json::json!(rule.action));
        format!("{:<28}{} {} {}", "privacy.rules", shown(&action), shown(&kind), rule.pattern)
    });
    let unknown = settings.unknown.iter().map(|key| format!("{key:<28}means nothing here: misspelt?"));
    lines.chain(rules).chain(unknown).collect::<Vec<_>>().join("\n")
}

/// A mistake in the file is said beside what could be read.
fn problem(settings: &Settings) -> Result<ExitCode, Fault> {
    match &settings.problem {
        None => Ok(ExitCode::SUCCESS),
        Some(problem) => Err(Fault::new(FaultCode::Configuration, problem.text.clone())),
    }
}
