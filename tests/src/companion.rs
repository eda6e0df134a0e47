//! The companion as a person or a script meets it: its configuration, `heyho`, and the agent.

use crate::eventually::{BOOT, SOON, eventually};
use crate::process::{self, Process};
use crate::world::World;
use anyhow::{Context, Result};
use serde_json::Value;

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "a password of these tests";

/// Where tokens are kept in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// The Secret Service of [`crate::desktop::keyring`].
    Keyring,
    /// A file, for worlds without a desktop.
    File,
}

/// Writes `config.toml`, as a person's editor would.
pub fn configure(world: &World, backend: &str, tokens: Tokens) -> Result<()> {
    let store = match tokens {
        Tokens::Keyring => "keyring",
        Tokens::File => "file",
    };
    let dir = world.config_home().join("heyho-companion");
    std::fs::create_dir_all(&dir)?;
    let text = format!("[backend]\nurl = \"{backend}\"\n\n[tokens]\nstore = \"{store}\"\n");
    Ok(std::fs::write(dir.join("config.toml"), text)?)
}

/// What one run of `heyho` ended with.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The one JSON document a command with `--json` prints.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:?}"))
    }

    pub fn expect(self, code: i32) -> Result<Ran> {
        anyhow::ensure!(self.code == code, "expected exit status {code}: {self:?}");
        Ok(self)
    }
}

/// Runs `heyho` to its end.
pub async fn heyho(world: &World, arguments: &[&str]) -> Result<Ran> {
    heyho_reading(world, arguments, "").await
}

/// The same, with something on its standard input.
pub async fn heyho_reading(world: &World, arguments: &[&str], input: &str) -> Result<Ran> {
    use std::io::{Seek, Write};
    let mut stdin = tempfile::tempfile()?;
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    let mut command = world.program("heyho")?;
    command.args(arguments).stdin(stdin);
    let output = tokio::time::timeout(BOOT, command.output())
        .await
        .with_context(|| format!("heyho {} did not end", arguments.join(" ")))??;
    Ok(Ran {
        code: process::code(output.status),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The object of `heyho status --json`.
pub async fn status(world: &World) -> Result<Value> {
    heyho(world, &["status", "--json"]).await?.expect(0)?.json()
}

/// Waits until the status is as wanted, and gives it.
pub async fn status_when(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually(SOON, what, async || {
        let status = status(world).await?;
        anyhow::ensure!(wanted(&status), "{status}");
        Ok(status)
    })
    .await
}

/// The records that wait, of both kinds.
pub fn waiting(status: &Value) -> u64 {
    let backlog = &status["backlog"];
    let count = |name: &str| backlog[name].as_u64().unwrap_or(u64::MAX / 4);
    count("pageVisits") + count("tabAggregates")
}

/// Makes an account and signs in with it.
pub async fn register(world: &World) -> Result<()> {
    sign_in(world, &["--register"]).await
}

pub async fn sign_in(world: &World, more: &[&str]) -> Result<()> {
    let arguments = [&["login", "--email", EMAIL, "--password-stdin"], more].concat();
    heyho_reading(world, &arguments, &format!("{PASSWORD}\n")).await?.expect(0)?;
    Ok(())
}

/// Starts the agent without a window, and waits until it answers.
pub async fn start_agent(world: &World) -> Result<Process> {
    let mut command = world.program("heyho")?;
    command.arg("agent");
    answering(world, world.start("agent", command)?).await
}

/// Starts the app, on the world's display, and waits until its agent answers.
pub async fn start_app(world: &World) -> Result<Process> {
    answering(world, world.start("app", world.program("heyho-companion")?)?).await
}

async fn answering(world: &World, mut process: Process) -> Result<Process> {
    eventually(BOOT, "the agent answers", async || {
        process.still_runs()?;
        let status = status(world).await?;
        anyhow::ensure!(status["agentRunning"] == true, "{status}");
        Ok(())
    })
    .await?;
    Ok(process)
}
