//! The command line, as it is typed.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Keeps your browsing records safe and delivers them to your backend.
#[derive(Debug, Parser)]
#[command(name = "heyho", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
pub struct Arguments {
    /// Print facts as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 done; 1 failed; 64 mistyped; 65 bad data; 69 backend unreachable; \
75 try later (paused, or the backend asked for it); 77 sign-in needed; 78 a setting is not accepted.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show whether your records are safe and arriving.
    Status,
    /// Send what waits now. Without a running companion the command is one itself, and waits for the end.
    Sync {
        /// Come back when everything was sent, or when it cannot be now.
        #[arg(long)]
        wait: bool,
    },
    /// Sign in to the backend.
    Login(Login),
    /// Sign out. Records stay here.
    Logout,
    /// Make records yours that were captured while nobody was signed in.
    Claim,
    /// Look at records that wait to be sent.
    Waiting {
        #[command(subcommand)]
        what: Option<Waiting>,
    },
    /// Look at records that could not be delivered, and deal with them.
    Failed {
        #[command(subcommand)]
        what: Option<Failed>,
    },
    /// Write everything that is kept here to a file, one JSON record a line.
    Export {
        #[command(flatten)]
        to: Target,
        /// Only records of this account.
        #[arg(long, value_name = "EMAIL")]
        account: Option<String>,
    },
    /// Take in what was exported; what is here already stays as it is.
    Import {
        /// `-` for standard input.
        file: PathBuf,
    },
    /// Delete everything that is kept here for an account, waiting and failed.
    Discard {
        #[arg(long, value_name = "EMAIL")]
        account: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Delete everything that is kept here about a site and its subdomains.
    Forget {
        domain: String,
        /// At the backend too, where it can.
        #[arg(long)]
        backend: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Delete every record that is kept here, of everybody. Sign-in and settings stay.
    Erase(Sure),
    /// Stop sending for a while; records are still kept safely.
    Pause {
        /// Such as `1h` or `30m`; without it until `heyho resume`.
        duration: Option<String>,
    },
    /// Send again after a pause.
    Resume,
    /// Which browsers are connected, and how to connect them.
    Browsers {
        #[command(subcommand)]
        what: Option<Browsers>,
    },
    /// Look at the settings and change them.
    Config {
        #[command(subcommand)]
        what: Option<Config>,
    },
    /// Look for what is wrong, and say what to do about it.
    Doctor,
    /// Print what a report about a fault needs: no addresses, no e-mail, no passwords.
    Diagnostics,
    /// Run the companion without a window, until it is stopped.
    Agent,
    /// Print the completions of a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page.
    Man,
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
    /// The code of the message that a backend sends to confirm a new account's address.
    #[arg(long)]
    pub code: Option<String>,
    /// For backends that ask for a name when registering.
    #[arg(long)]
    pub first_name: Option<String>,
    #[arg(long)]
    pub last_name: Option<String>,
    /// Whether records captured after another account signed out become this one's.
    #[arg(long, value_parser = ["yes", "no"], default_value = "no")]
    pub claim: String,
}

/// Where an export goes.
#[derive(Debug, Args)]
pub struct Target {
    /// `-` for standard output.
    pub file: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// Before something is deleted for good.
#[derive(Debug, Clone, Copy, Args)]
pub struct Sure {
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Without a word more: the list.
#[derive(Debug, Subcommand)]
pub enum Waiting {
    /// List them, the oldest first.
    List {
        /// Only those with these words in title or address.
        #[arg(long, value_name = "WORDS")]
        search: Option<String>,
    },
    /// Delete before they are sent, by the numbers that `heyho waiting list` shows.
    Discard {
        #[arg(required = true)]
        numbers: Vec<i64>,
        #[command(flatten)]
        sure: Sure,
    },
}

#[derive(Debug, Subcommand)]
pub enum Failed {
    /// List them with their reasons.
    List {
        /// Only this reason, such as `rejected_by_backend`.
        #[arg(long, value_name = "CODE")]
        reason: Option<String>,
    },
    /// Show one with the record itself.
    Show {
        /// Its number, or the record's own id.
        id: String,
    },
    /// Send again: these, or all.
    Retry(Which),
    /// Delete for good.
    Discard {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        sure: Sure,
    },
    /// Keep without asking for attention.
    Keep(Which),
    /// Write them to a file, one JSON record a line.
    Export {
        #[command(flatten)]
        to: Target,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Numbers, as `heyho failed list` shows them, or the records' own ids.
    pub ids: Vec<String>,
    #[arg(long)]
    pub all: bool,
    /// All of one reason.
    #[arg(long, value_name = "CODE")]
    pub reason: Option<String>,
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
    /// Show one setting, such as `backend.url`; without a key all of them.
    Get { key: Option<String> },
    /// Change one setting. It holds at once.
    Set { key: String, value: String },
    /// Take a setting out, so that its default holds.
    Unset { key: String },
    /// Where the settings lie.
    Path,
}
