//! `heyho-backend serve`: the backend as a program.
//!
//! Prints one line, `listening on http://ADDRESS`, on standard output once it takes requests; everything else is
//! logged to standard error. Ends 0 after SIGINT or SIGTERM, 78 for a setting that cannot be used, 1 otherwise.

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use heyho_backend::Server;
use heyho_backend::config::{Config, DEFAULT_LISTEN, Database};
use heyho_backend::secret::Secret;
use std::io::Write as _;
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
    /// Address and port; port 0 takes a free one.
    #[arg(long, env = "HEYHO_LISTEN", default_value = DEFAULT_LISTEN)]
    listen: String,
    /// sqlite://PATH or postgres://USER@HOST/NAME [default: heyho-backend/heyho.db in the user's data directory]
    #[arg(long, env = "HEYHO_DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    // The key that signs access tokens is only read from the environment: arguments are visible to everyone.
}

const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("HEYHO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Command::Serve(arguments) = cli.command;
    let config = match configuration(&arguments) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{error:#}");
            return ExitCode::from(CONFIGURATION);
        }
    };
    match run(&arguments.listen, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn configuration(arguments: &Serve) -> anyhow::Result<Config> {
    let database = match &arguments.database {
        Some(url) => Database::parse(url)?,
        None => Database::default_place()?,
    };
    if matches!(database, Database::Postgres(_)) && std::env::var_os("HEYHO_JWT_SECRET").is_none() {
        bail!("HEYHO_JWT_SECRET is not set; with PostgreSQL it is needed, the same for every node");
    }
    let mut config = Config::new(database);
    config.secret = match std::env::var("HEYHO_JWT_SECRET") {
        Ok(text) => Some(Secret::from_setting(&text)?),
        Err(_) => None,
    };
    Ok(config)
}

fn run(listen: &str, config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let server = Server::open(listener, config).await?;
        {
            let mut out = std::io::stdout().lock();
            writeln!(out, "listening on http://{}", server.address()).and_then(|()| out.flush()).ok();
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
