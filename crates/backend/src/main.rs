//! `heyho-backend serve`: the backend as a program; and what its operator does beside it.
//!
//! `serve` prints one line, `listening on http://ADDRESS`, on standard output once it takes requests; everything else is
//! logged to standard error. Ends 0 after SIGINT or SIGTERM, 78 for a setting that cannot be used, 1 otherwise.

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use heyho_backend::config::{Config, DEFAULT_LISTEN, Database, SECRET_NEEDED, listen_address};
use heyho_backend::secret::Secret;
use heyho_backend::settings::Settings;
use heyho_backend::{Registration, Server, operator};
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

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
    /// Make an account; its password is the first line of standard input.
    AddUser(Somebody),
    /// Give an account a new password, the first line of standard input; its sessions end.
    ResetPassword(Somebody),
}

#[derive(clap::Args)]
struct Serve {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:3001]
    #[arg(long, env = "HEYHO_LISTEN")]
    listen: Option<String>,
    /// "open": anybody may make an account; "closed": only `heyho-backend add-user` does [default: open]
    #[arg(long, env = "HEYHO_REGISTRATION")]
    registration: Option<String>,
    #[command(flatten)]
    place: Place,
    // The key that signs access tokens is only read from the environment: arguments are visible to everyone.
}

#[derive(clap::Args)]
struct Somebody {
    /// The e-mail address.
    email: String,
    #[command(flatten)]
    place: Place,
}

/// Where the records are.
#[derive(clap::Args)]
struct Place {
    /// sqlite://PATH or postgres://USER@HOST/NAME [default: heyho-backend/heyho.db in the user's data directory]
    #[arg(long, env = "HEYHO_DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// A settings file (TOML); flags and the environment win over it.
    #[arg(long, env = "HEYHO_BACKEND_CONFIG")]
    config: Option<PathBuf>,
}

const CONFIGURATION: u8 = 78;

/// What the settings ask for: everything that can be wrong with them is found before anything is done.
enum Task {
    Serve { listen: String, config: Config },
    AddUser { email: String, config: Config },
    ResetPassword { email: String, config: Config },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let task = match log().and_then(|()| task(cli.command)) {
        Ok(task) => task,
        Err(error) => {
            tracing::error!("{error:#}");
            return ExitCode::from(CONFIGURATION);
        }
    };
    match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `HEYHO_LOG` names the level, `HEYHO_LOG_FORMAT=json` makes each line an object.
fn log() -> anyhow::Result<()> {
    let given = std::env::var("HEYHO_LOG").ok().filter(|level| !level.is_empty());
    let filter = given.as_deref().map(EnvFilter::try_new).transpose();
    let usual = || EnvFilter::new("info");
    let (filter, bad) = match filter {
        Ok(filter) => (filter.unwrap_or_else(usual), None),
        Err(error) => (usual(), Some(error)),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match std::env::var("HEYHO_LOG_FORMAT").as_deref() {
        Ok("json") => lines.json().init(),
        _ => lines.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    match bad {
        None => Ok(()),
        Some(error) => Err(error).with_context(|| {
            format!(
                "HEYHO_LOG is {:?}; info or heyho_backend=debug is accepted, for example",
                given.unwrap_or_default()
            )
        }),
    }
}

fn task(command: Command) -> anyhow::Result<Task> {
    let (place, arguments) = match &command {
        Command::Serve(arguments) => (&arguments.place, Some(arguments)),
        Command::AddUser(somebody) | Command::ResetPassword(somebody) => (&somebody.place, None),
    };
    let settings = match &place.config {
        Some(path) => Settings::read(path)?,
        None => Settings::default(),
    };
    let database = match place.database.as_ref().or(settings.database.as_ref()) {
        Some(url) => Database::parse(url)?,
        None => Database::default_place()?,
    };
    let mut config = settings.config(database)?;
    let mut listen = String::new();
    if let Some(arguments) = arguments {
        listen = serving(arguments, &settings, &mut config)?;
    }
    Ok(match command {
        Command::Serve(_) => Task::Serve { listen, config },
        Command::AddUser(Somebody { email, .. }) => Task::AddUser { email, config },
        Command::ResetPassword(Somebody { email, .. }) => Task::ResetPassword { email, config },
    })
}

/// What only a server needs. Where it listens.
fn serving(arguments: &Serve, settings: &Settings, config: &mut Config) -> anyhow::Result<String> {
    if let Some(text) = &arguments.registration {
        config.registration = Registration::parse(text)?;
    }
    let postgres = matches!(config.database, Database::Postgres(_));
    config.secret = match (std::env::var("HEYHO_JWT_SECRET"), &settings.jwt_secret_file) {
        (Ok(text), _) => Some(Secret::from_setting(&text)?),
        (Err(_), Some(path)) if postgres => Some(Secret::read(path).context(SECRET_NEEDED)?),
        (Err(_), Some(path)) => Some(Secret::kept_in(path)?),
        (Err(_), None) if postgres => bail!(SECRET_NEEDED),
        (Err(_), None) => None,
    };
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    config.mail = settings.mail(given("HEYHO_SMTP_URL"), given("HEYHO_MAIL_FROM"))?;
    config.tls = settings.tls()?;
    let listen = arguments.listen.as_ref().or(settings.listen.as_ref());
    listen_address(listen.map_or(DEFAULT_LISTEN, String::as_str))
}

fn run(task: Task) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match task {
        Task::Serve { listen, config } => runtime.block_on(serve(&listen, config)),
        Task::AddUser { email, config } => {
            done(runtime.block_on(operator::add_user(&config, &email, password()?)))
        }
        Task::ResetPassword { email, config } => {
            done(runtime.block_on(operator::reset_password(&config, &email, password()?)))
        }
    }
}

fn done(said: anyhow::Result<String>) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", said?).context("the result cannot be written")
}

/// From standard input: arguments are visible to everyone.
fn password() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        let mut terminal = std::io::stderr().lock();
        write!(terminal, "The password, which is shown as you type it: ")
            .and_then(|()| terminal.flush())
            .ok();
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("reading the password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("there is no password: it is the first line of standard input");
    }
    Ok(password.to_owned())
}

async fn serve(listen: &str, config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    let server = Server::open(listener, config).await?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "listening on {}", server.url()).and_then(|()| out.flush()).ok();
    }
    server.run(stop_asked()).await
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
