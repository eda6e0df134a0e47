//! `heyho-backend serve`: the backend as a program.
//!
//! Prints one line, `listening on http://ADDRESS`, on standard output once it takes requests; everything else is
//! logged to standard error. Ends 0 after SIGINT or SIGTERM, 78 for a setting that cannot be used, 1 otherwise.

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use heyho_backend::Server;
use heyho_backend::config::{Config, DEFAULT_LISTEN, Database, listen_address};
use heyho_backend::secret::Secret;
use heyho_backend::settings::Settings;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(name = "heyho-backend", version, about = "The reference backend of HeyHo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the sync API.
    Serve(Serve),
}

#[derive(clap::Args)]
struct Serve {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:3001]
    #[arg(long, env = "HEYHO_LISTEN")]
    listen: Option<String>,
    /// sqlite://PATH or postgres://USER@HOST/NAME [default: heyho-backend/heyho.db in the user's data directory]
    #[arg(long, env = "HEYHO_DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// A settings file (TOML); flags and the environment win over it.
    #[arg(long, env = "HEYHO_BACKEND_CONFIG")]
    config: Option<PathBuf>,
    // The key that signs access tokens is only read from the environment: arguments are visible to everyone.
}

const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let Command::Serve(arguments) = cli.command;
    let (listen, config) = match configuration(&arguments) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("{error:#}");
            return ExitCode::from(CONFIGURATION);
        }
    };
    match run(&listen, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `HEYHO_LOG` names the level, `HEYHO_LOG_FORMAT=json` makes each line an object.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HEYHO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match std::env::var("HEYHO_LOG_FORMAT").as_deref() {
        Ok("json") => lines.json().init(),
        _ => lines.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}

fn configuration(arguments: &Serve) -> anyhow::Result<(String, Config)> {
    let settings = match &arguments.config {
        Some(path) => Settings::read(path)?,
        None => Settings::default(),
    };
    let database = match arguments.database.as_ref().or(settings.database.as_ref()) {
        Some(url) => Database::parse(url)?,
        None => Database::default_place()?,
    };
    let mut config = settings.config(database)?;
    config.secret = match (std::env::var("HEYHO_JWT_SECRET"), &settings.jwt_secret_file) {
        (Ok(text), _) => Some(Secret::from_setting(&text)?),
        (Err(_), Some(path)) => Some(Secret::kept_in(path)?),
        (Err(_), None) => None,
    };
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    config.mail = settings.mail(given("HEYHO_SMTP_URL"), given("HEYHO_MAIL_FROM"))?;
    if matches!(config.database, Database::Postgres(_)) && config.secret.is_none() {
        bail!("HEYHO_JWT_SECRET is not set; with PostgreSQL it is needed, the same for every node");
    }
    config.tls = settings.tls()?;
    let listen = arguments.listen.as_ref().or(settings.listen.as_ref());
    Ok((listen_address(listen.map_or(DEFAULT_LISTEN, String::as_str))?, config))
}

fn run(listen: &str, config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let server = Server::open(listener, config).await?;
        {
            let mut out = std::io::stdout().lock();
            writeln!(out, "listening on {}", server.url()).and_then(|()| out.flush()).ok();
        }
        server.run(stop_asked()).await
    })
}

async fn stop_asked() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                tokio::select! {
                    _ = interrupted => {}
                    _ = terminated.recv() => {}
                }
            }
            Err(_) => {
                let _ = interrupted.await;
            }
        }
    }
    #[cfg(not(unix))]
    {
        let _ = interrupted.await;
    }
}
