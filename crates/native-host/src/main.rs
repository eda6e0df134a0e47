//! `heyho-host`: the program a browser starts for the extension (docs/native-messaging.md).
//!
//! It stores records in `buffer.db` and acknowledges them after the commit; it sends nothing to the network
//! and knows no token. Only frames go to stdout; messages go to stderr, which browsers keep in their log.

mod agent_link;
mod answers;
mod frames;
mod launch;
mod parent;
mod push;
mod reading;
mod session;
mod settings;

use heyho_local::clock;
use heyho_local::paths::Paths;
use settings::Settings;
use std::io::Write;
use std::process::ExitCode;
use tokio::sync::{mpsc, watch};

/// Of threads that wait for the pipes and the socket: a browser starts a host for each of its profiles.
const BLOCKING_THREADS: usize = 6;

const HELP: &str = "\
A browser starts this program for the HeyHo extension, and speaks native messaging with it on standard input and output.
To make it known to your browsers: heyho browsers register. How records come and go: heyho status.";

fn main() -> ExitCode {
    // Somebody who looks what it is; browsers say who asks, and nothing like this.
    match std::env::args().nth(1).as_deref() {
        Some("--help" | "-h") => return said(HELP),
        Some("--version" | "-V") => return said(concat!("heyho-host ", env!("CARGO_PKG_VERSION"))),
        _ => {}
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .init();
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("heyho-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn said(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let paths = Paths::of_user()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Beside this thread, which stores: one that reads and checks what comes next.
        .worker_threads(1)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let code = runtime.block_on(serve(paths))?;
    // A read of stdin may still hang in its thread: do not wait for it.
    runtime.shutdown_background();
    Ok(code)
}

async fn serve(paths: Paths) -> anyhow::Result<ExitCode> {
    let (out, mut answers) = mpsc::unbounded_channel::<Vec<u8>>();
    let (so_far, written) = watch::channel(0);
    let writing = tokio::spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(json) = answers.recv().await {
            frames::write(&mut stdout, &json).await?;
            so_far.send_modify(|bytes| *bytes += json.len() as u64);
        }
        std::io::Result::Ok(())
    });
    let turns = reading::turns(tokio::io::stdin(), Settings::new(paths.config_file()));
    let session = session::Session::new(paths, clock::system(), caller(), out, written);
    let code = session.run(turns).await;
    // Every commit has its answer in the pipe before we leave; pushes to subscribers end with us.
    let flushed = tokio::time::timeout(std::time::Duration::from_secs(2), writing).await;
    // A browser that closed its side first wants no answers; what was committed is committed.
    if let Ok(Ok(Err(error))) = flushed {
        tracing::info!("an answer could not be written: {error}");
    }
    Ok(code)
}

/// Chromium passes the origin; Firefox the manifest's path and then the extension's id.
fn caller() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).take(2).collect();
    match arguments.as_slice() {
        [origin, ..] if origin.contains("://") => origin.clone(),
        [_, id] => id.clone(),
        _ => "unknown".to_owned(),
    }
}
