//! `login`, `logout`, `config`.

use crate::args::{Config as ConfigCommand, Login};
use crate::link::Link;
use crate::{Context, sync};
use heyho_local::config;
use heyho_local::vocabulary::{Fault, FaultCode, Login as LoginRequest, Request, ask};
use heyho_records::status::Account;
use std::io::IsTerminal;
use std::process::ExitCode;

pub async fn login(context: &Context, login: Login) -> Result<ExitCode, Fault> {
    let password = password(login.password_stdin)?;
    let link = Link::join(context, false).await?;
    let request = LoginRequest {
        email: login.email,
        password,
        backend: login.backend,
        register: login.register,
        first_name: login.first_name,
        last_name: login.last_name,
        claim: Some(login.claim == "yes"),
    };
    let signed_in = ask::<Account>(link.companion.as_ref(), Request::Login(request)).await;
    link.end().await;
    context.out.say(&signed_in?, |a| format!("Signed in as {} at {}.", a.email, a.backend))?;
    Ok(ExitCode::SUCCESS)
}

/// Never from the command line itself: other users can read that.
fn password(from_stdin: bool) -> Result<String, Fault> {
    let unreadable =
        |e: std::io::Error| Fault::new(FaultCode::Usage, format!("the password cannot be read: {e}"));
    if !from_stdin && !std::io::stdin().is_terminal() {
        return Err(Fault::new(
            FaultCode::Usage,
            "standard input is no terminal; give the password there with --password-stdin",
        ));
    }
    let line = if from_stdin {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(unreadable)?;
        line
    } else {
        rpassword::prompt_password("Password: ").map_err(unreadable)?
    };
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        return Err(Fault::new(FaultCode::Usage, "the password is empty"));
    }
    Ok(password)
}

pub async fn logout(context: &Context) -> Result<ExitCode, Fault> {
    sync::simple(context, Request::Logout, "Signed out. Records stay here until you sign in again.").await
}

pub fn config(context: &Context, command: ConfigCommand) -> Result<ExitCode, Fault> {
    let path = context.paths.config_file();
    let bad = |e: config::ConfigError| Fault::new(FaultCode::Configuration, e.to_string());
    match command {
        ConfigCommand::Path => {
            context.out.say(&serde_json::json!({ "path": path }), |_| path.display().to_string())?;
        }
        ConfigCommand::Get { key } => {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let document: toml_edit::DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
                Fault::new(FaultCode::Configuration, format!("{}: {e}", path.display()))
            })?;
            let item = key.split('.').try_fold(document.as_item(), |item, part| item.get(part));
            let value = item.map(|item| item.to_string().trim().to_owned());
            context.out.say(&serde_json::json!({ "key": key, "value": value }), |_| {
                value.clone().unwrap_or_else(|| format!("{key} is not set; the default is used"))
            })?;
        }
        ConfigCommand::Set { key, value } => {
            // `5` and `true` are what they look like; anything else is a string, quoted or not.
            let parsed = value.parse::<toml_edit::Value>().unwrap_or_else(|_| value.as_str().into());
            config::set(&path, &key, parsed).map_err(bad)?;
            context.out.say(&serde_json::json!({ "set": key }), |_| {
                format!("{key} is set. A companion that is running uses it after its next start.")
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
