//! `heyho`: the companion on the command line (contract, section 4). No GTK, no window.
//!
//! Results go to stdout, progress and messages to stderr. Each command ends with the exit status the contract
//! names; `--json` gives the same facts as JSON.

mod args;
mod browsers;
mod doctor;
mod failed;
mod keeping;
mod link;
mod output;
mod sentence;
mod settings;
mod sync;

use args::{Arguments, Command};
use clap::Parser;
use heyho_local::config::Config;
use heyho_local::paths::Paths;
use heyho_local::vocabulary::{Fault, FaultCode};
use output::Output;
use std::process::ExitCode;

/// What every command works with.
#[derive(Debug)]
pub struct Context {
    pub paths: Paths,
    pub config: Config,
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
            if json {
                let shown = serde_json::json!({ "error": fault });
                eprintln!("{shown}");
            } else {
                eprintln!("heyho: {fault}");
            }
            ExitCode::from(fault.code.exit_status())
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Fault> {
    let paths = Paths::of_user().map_err(|e| Fault::new(FaultCode::Configuration, e.to_string()))?;
    let config =
        Config::load(&paths.config_file()).map_err(|e| Fault::new(FaultCode::Configuration, e.to_string()));
    // The settings can be looked at and mended also while they are not accepted.
    let config = match (&arguments.command, config) {
        (Command::Config(_) | Command::Doctor, Err(_)) => Config::default(),
        (_, config) => config?,
    };
    start_log(&config, matches!(arguments.command, Command::Agent));
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let context = Context { paths, config, out: Output { json: arguments.json } };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Fault::new(FaultCode::Failed, format!("the program could not start: {e}")))?;
    let ended = runtime.block_on(execute(context, arguments.command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended
}

async fn execute(context: Context, command: Command) -> Result<ExitCode, Fault> {
    match command {
        Command::Status => sync::status(&context).await,
        Command::Sync { wait } => sync::sync(&context, wait).await,
        Command::Login(login) => settings::login(&context, login).await,
        Command::Logout => settings::logout(&context).await,
        Command::Failed(which) => failed::failed(&context, which).await,
        Command::Export { file, account } => failed::export(&context, &file, account.as_deref(), false).await,
        Command::Import { file } => keeping::import(&context, &file).await,
        Command::Waiting(args::Waiting::List) => keeping::waiting(&context).await,
        Command::Discard { account } => keeping::discard(&context, &account).await,
        Command::Forget { domain } => keeping::forget(&context, &domain).await,
        Command::Pause { duration } => sync::pause(&context, duration.as_deref()).await,
        Command::Resume => sync::resume(&context).await,
        Command::Browsers(what) => browsers::browsers(&context, &what).await,
        Command::Config(what) => settings::config(&context, what),
        Command::Doctor => doctor::doctor(&context).await,
        Command::Agent => sync::agent(&context).await,
    }
}

/// The agent says what it does; other commands only what goes wrong.
fn start_log(config: &Config, agent: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = if agent {
        let level = config.log_level.name();
        EnvFilter::new(format!(
            "warn,heyho_agent={level},heyho_buffer={level},heyho_sync={level},heyho_local={level}"
        ))
    } else {
        EnvFilter::new("error")
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
