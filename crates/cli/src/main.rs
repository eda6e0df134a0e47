//! `heyho`: the companion on the command line (contract, section 4). No GTK, no window.
//!
//! Results go to stdout, progress and messages to stderr. Each command ends with the exit status the contract
//! names; `--json` gives the same facts as JSON.

mod args;
mod browsers;
mod config;
mod doctor;
mod erasing;
mod failed;
mod keeping;
mod link;
mod output;
mod pages;
mod printable;
mod progress;
mod sentence;
mod session;
mod sync;
mod waiting;

use args::{Arguments, Command};
use clap::Parser;
use heyho_local::config::{Config, ConfigError, Reading};
use heyho_local::paths::Paths;
use heyho_local::vocabulary::{Fault, FaultCode, SettingProblem};
use output::Output;
use std::process::ExitCode;

/// What every command works with.
#[derive(Debug)]
pub struct Context {
    pub paths: Paths,
    pub config: Config,
    /// Why not all of it is what the file says.
    pub mistake: Option<SettingProblem>,
    pub out: Output,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; anything else is a mistake in the command line.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let json = arguments.json;
    match run(arguments) {
        Ok(code) => code,
        Err(fault) => {
            say(&fault, json);
            ExitCode::from(fault.code.exit_status())
        }
    }
}

fn say(fault: &Fault, json: bool) {
    if fault.text.is_empty() {
        return;
    }
    if json {
        let shown = serde_json::json!({ "error": fault });
        eprintln!("{shown}");
    } else {
        eprintln!("heyho: {}", printable::printable(&fault.to_string()));
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Fault> {
    let out = Output { json: arguments.json };
    match &arguments.command {
        Command::Completions { shell } => return pages::completions(*shell),
        Command::Man => return pages::man(),
        _ => {}
    }
    let paths = Paths::of_user().map_err(|e| Fault::new(FaultCode::Configuration, e.to_string()))?;
    let Reading { config, problem, unknown, .. } = heyho_local::config::read(&paths.config_file());
    let said = problem.as_ref().map(|e| Fault::new(FaultCode::Configuration, e.to_string()));
    let mistake = problem.map(ConfigError::problem);
    match (&arguments.command, &said) {
        // The settings can be looked at and mended also while they are not accepted, and what is kept here can
        // be looked at: nothing of that acts on a setting.
        (Command::Config { .. } | Command::Doctor | Command::Status, _) => {}
        (_, Some(fault)) => return Err(fault.clone()),
        _ => {}
    }
    start_log(&config, matches!(arguments.command, Command::Agent));
    for key in &unknown {
        tracing::warn!("{}: {key} is not known", paths.config_file().display());
    }
    let context = Context { paths, config, mistake, out };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Fault::new(FaultCode::Failed, format!("the program could not start: {e}")))?;
    let is_status = matches!(arguments.command, Command::Status);
    let ended = runtime.block_on(execute(context, arguments.command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match said {
        // Said beside what could be said, not in its place.
        Some(fault) if is_status && ended.is_ok() => Err(fault),
        _ => ended,
    }
}

async fn execute(context: Context, command: Command) -> Result<ExitCode, Fault> {
    match command {
        Command::Status => sync::status(&context).await,
        Command::Sync { wait } => sync::sync(&context, wait).await,
        Command::Login(login) => session::login(&context, login).await,
        Command::Logout => session::logout(&context).await,
        Command::Claim => session::claim(&context).await,
        Command::Waiting { what } => {
            waiting::waiting(&context, what.unwrap_or(args::Waiting::List { search: None })).await
        }
        Command::Failed { what } => {
            failed::failed(&context, what.unwrap_or(args::Failed::List { reason: None })).await
        }
        Command::Export { to, account } => keeping::export(&context, &to, account.as_deref(), false).await,
        Command::Import { file } => keeping::import(&context, &file).await,
        Command::Discard { account, sure } => erasing::discard(&context, &account, sure).await,
        Command::Forget { domain, backend, sure } => erasing::forget(&context, domain, backend, sure).await,
        Command::Erase(sure) => erasing::erase(&context, sure).await,
        Command::Pause { duration } => sync::pause(&context, duration.as_deref()).await,
        Command::Resume => sync::resume(&context).await,
        Command::Browsers { what } => {
            browsers::browsers(&context, &what.unwrap_or(args::Browsers::List)).await
        }
        Command::Config { what } => {
            config::config(&context, what.unwrap_or(args::Config::Get { key: None })).await
        }
        Command::Doctor => doctor::doctor(&context).await,
        Command::Diagnostics => doctor::diagnostics(&context).await,
        Command::Agent => sync::agent(&context).await,
        Command::Completions { shell } => pages::completions(shell),
        Command::Man => pages::man(),
    }
}

/// The agent says what it does; other commands only what goes wrong.
fn start_log(config: &Config, agent: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = if agent {
        let level = config.log_level.name();
        EnvFilter::new(format!(
            "warn,heyho={level},heyho_agent={level},heyho_buffer={level},heyho_sync={level},heyho_local={level}"
        ))
    } else {
        EnvFilter::new("error")
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
