//! `config`: through the agent where one runs, so that a change holds at once; else the file itself.

use crate::Context;
use crate::args::Config as Command;
use crate::link::running;
use heyho_local::config::{self, ConfigError};
use heyho_local::vocabulary::{Fault, FaultCode, Request, Setting, Settings, ask};
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
            context.out.say(&settings, all)?;
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
            config::set(&path, key, &value).map_err(|error| {
                let code = match error {
                    ConfigError::UnknownKey { .. } => FaultCode::Usage,
                    ConfigError::Unwritable { .. } => FaultCode::Failed,
                    _ => FaultCode::Configuration,
                };
                Fault::new(code, error.to_string())
            })?;
            config::settings(&path)
        }
    };
    let setting = find(&settings, key)?;
    context.out.say(setting, |setting| {
        let now = shown(&setting.value);
        match (agent.is_some(), setting.restart) {
            (true, true) => format!("{key} is {now} after the next start of the companion."),
            _ => format!("{key} is {now}."),
        }
    })
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
    let lines = settings.settings.iter().map(|setting| {
        let mark = if setting.set { "" } else { "  (default)" };
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
