//! The command line, as it is typed.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Keeps your browsing records safe and delivers them to your backend.
#[derive(Debug, Parser)]
#[command(name = "heyho", version, arg_required_else_help = true)]
pub struct Arguments {
    /// Print facts as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show whether your records are safe and arriving.
    Status,
    /// Send what waits now.
    Sync {
        /// Come back when everything was sent, or when it cannot be now.
        #[arg(long)]
        wait: bool,
    },
    /// Sign in to the backend.
    Login(Login),
    /// Sign out. Records stay here.
    Logout,
    /// Look at records that could not be delivered, and deal with them.
    #[command(subcommand)]
    Failed(Failed),
    /// Write everything that is kept here to a file, one JSON record a line.
    Export {
        /// `-` for standard output.
        file: PathBuf,
        /// Only records of this account.
        #[arg(long, value_name = "EMAIL")]
        account: Option<String>,
    },
    /// Take in what was exported; what is here already stays as it is.
    Import {
        /// `-` for standard input.
        file: PathBuf,
    },
    /// Look at records that wait to be sent.
    #[command(subcommand)]
    Waiting(Waiting),
    /// Delete everything that is kept here for an account, waiting and failed.
    Discard {
        #[arg(long, value_name = "EMAIL")]
        account: String,
    },
    /// Delete everything that is kept here about a site and its subdomains.
    Forget { domain: String },
    /// Stop sending for a while; records are still kept safely.
    Pause {
        /// Such as `1h` or `30m`; without it until `heyho resume`.
        duration: Option<String>,
    },
    /// Send again after a pause.
    Resume,
    /// Which browsers are connected, and how to connect them.
    #[command(subcommand)]
    Browsers(Browsers),
    /// Look at the settings and change them.
    #[command(subcommand)]
    Config(Config),
    /// Look for what is wrong, and say what to do about it.
    Doctor,
    /// Run the companion without a window, until it is stopped.
    Agent,
}

#[derive(Debug, Args)]
pub struct Login {
    #[arg(long)]
    pub email: String,
    /// Read the password from standard input instead of asking for it.
    #[arg(long)]
    pub password_stdin: bool,
    /// The backend's address; it is kept in the settings.
    #[arg(long, value_name = "URL")]
    pub backend: Option<String>,
    /// Make a new account.
    #[arg(long)]
    pub register: bool,
    /// For backends that ask for a name when registering.
    #[arg(long)]
    pub first_name: Option<String>,
    #[arg(long)]
    pub last_name: Option<String>,
    /// Whether records captured after another account signed out become this one's.
    #[arg(long, value_parser = ["yes", "no"], default_value = "no")]
    pub claim: String,
}

#[derive(Debug, Subcommand)]
pub enum Waiting {
    /// List them, the oldest first.
    List,
}

#[derive(Debug, Subcommand)]
pub enum Failed {
    /// List them with their reasons.
    List,
    /// Show one with the record itself.
    Show { id: i64 },
    /// Send again: these, or all.
    Retry(Which),
    /// Delete for good.
    Discard(Which),
    /// Keep without asking for attention.
    Keep(Which),
    /// Write them to a file, one JSON record a line.
    Export { file: PathBuf },
}

#[derive(Debug, Args)]
#[group(required = true)]
pub struct Which {
    /// Numbers, as `heyho failed list` shows them.
    pub ids: Vec<i64>,
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
}

#[derive(Debug, Subcommand)]
pub enum Browsers {
    /// Every browser this program knows, and how it stands.
    List,
    /// Connect the browsers that are installed.
    Register {
        /// Only this one, as `heyho browsers list` names it.
        browser: Option<String>,
    },
    /// Take the connection away again.
    Unregister {
        /// Only this one.
        browser: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Show one setting, such as `backend.url`.
    Get { key: String },
    /// Change one setting.
    Set { key: String, value: String },
    /// Where the settings lie.
    Path,
}
