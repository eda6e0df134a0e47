//! `config`: through the agent where one runs, so that a change holds at once; else the file itself.

use crate::Context;
use crate::args::Config as Command;
use crate::link::running;
use crate::sync::current_status;
use heyho_local::config::{self, ConfigError};
use heyho_local::vocabulary::{Fault, FaultCode, Request, Setting, Settings, ask};
use heyho_records::rules::Rule;
use heyho_records::words::waiting;
use serde_json::Value;
use std::process::ExitCode;

const RULES: &str = "privacy.rules";

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
            if key == RULES {
                context.out.say(&settings.rules, |rules| match rules.as_slice() {
                    [] => "none".to_owned(),
                    rules => rules.iter().map(rule).collect::<Vec<_>>().join("\n"),
                })?;
            } else {
                let setting = find(&settings, &key)?;
                context.out.say(setting, |setting| shown(&key, &setting.value))?;
            }
            return problem(&settings);
        }
        Command::Set { key, value } => set(context, &key, config::typed(&key, &value)).await?,
        Command::Unset { key } => set(context, &key, Value::Null).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(context: &Context, key: &str, value: Value) -> Result<(), Fault> {
    if key == RULES {
        let file = context.paths.config_file();
        let text = format!(
            "{RULES} is a list: rules are made and taken away in the window (Settings, Privacy) or in {}, as \
             [[privacy.rules]] tables with id, match, pattern and action",
            file.display()
        );
        return Err(Fault::new(FaultCode::Usage, text));
    }
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
        let now = shown(key, &setting.value);
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

/// What holds; where nothing is set and the default is no value, what holds then.
fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null if key == "buffer.max_bytes" => {
            "not set: the smaller of 2 GB and a tenth of the free disk".to_owned()
        }
        Value::Null => "not set: the system's".to_owned(),
        value => value.to_string(),
    }
}

fn rule(rule: &Rule) -> String {
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, action) = (word(serde_json::json!(rule.r#match)), word(serde_json::json!(rule.action)));
    format!("{action} {kind} {}", rule.pattern)
}

fn all(settings: &Settings) -> String {
    let mistaken = settings.problem.as_ref().and_then(|problem| problem.key.as_deref());
    let lines = settings.settings.iter().map(|setting| {
        let mark = match setting.set {
            true if mistaken == Some(setting.key.as_str()) => "  (default: what is set is not accepted)",
            true => "",
            false => "  (default)",
        };
        format!("{:<28}{}{mark}", setting.key, shown(&setting.key, &setting.value))
    });
    let rules = match settings.rules.as_slice() {
        [] if mistaken == Some(RULES) => vec!["none that can be read".to_owned()],
        [] => vec!["none  (default)".to_owned()],
        rules => rules.iter().map(rule).collect(),
    };
    let rules = rules.into_iter().map(|rule| format!("{RULES:<28}{rule}"));
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
