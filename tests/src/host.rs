//! `heyho-host` as a browser runs it: started with the caller's origin, frames on its standard input and
//! output, a 32-bit length in native byte order before each.

use crate::eventually::SOON;
use crate::world::World;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

#[derive(Debug)]
pub struct Host {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Host {
    /// Starts the host for an extension of that Chromium origin.
    pub fn start(world: &World, origin: &str) -> Result<Host> {
        let mut command = world.program("heyho-host")?;
        command.arg(origin);
        Host::started_by(world, command)
    }

    /// The same through another program, which hands its input and output on.
    pub fn started_by(world: &World, mut command: Command) -> Result<Host> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let log = std::fs::File::options().create(true).append(true).open(world.logs().join("host.log"))?;
        let mut child = command.stderr(log).spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("piped above")?;
        Ok(Host { child, input, output })
    }

    /// Bytes as they are, frame or not.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        let input = self.input.as_mut().context("the input is closed")?;
        input.write_all(bytes).await?;
        Ok(input.flush().await?)
    }

    pub async fn send_text(&mut self, json: &str) -> Result<()> {
        let length = u32::try_from(json.len())?.to_ne_bytes();
        self.send_raw(&[&length, json.as_bytes()].concat()).await
    }

    pub async fn send(&mut self, message: &Value) -> Result<()> {
        self.send_text(&message.to_string()).await
    }

    pub async fn read(&mut self) -> Result<Value> {
        let frame = async {
            let mut length = [0; 4];
            self.output.read_exact(&mut length).await?;
            let mut body = vec![0; usize::try_from(u32::from_ne_bytes(length))?];
            self.output.read_exact(&mut body).await?;
            Ok::<_, anyhow::Error>(body)
        };
        let body = timeout(SOON, frame).await.context("the host sent no frame")?.context("read a frame")?;
        serde_json::from_slice(&body).with_context(|| String::from_utf8_lossy(&body).into_owned())
    }

    pub async fn ask(&mut self, message: &Value) -> Result<Value> {
        self.send(message).await?;
        self.read().await
    }

    /// End of input: how a browser closes a port.
    pub async fn hang_up(mut self) -> Result<ExitStatus> {
        self.input = None;
        self.ended().await
    }

    pub async fn ended(&mut self) -> Result<ExitStatus> {
        timeout(SOON, self.child.wait()).await.context("the host did not end")?.context("wait for the host")
    }
}

/// SIGKILL to every host of a world, whoever started it.
pub fn end_all(world: &World) -> Result<()> {
    for (pid, line) in crate::process::command_lines(world.dir())? {
        let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
        if program.ends_with(b"/heyho-host")
            && let Some(pid) = Pid::from_raw(pid)
        {
            // It may have ended by itself since the list was read.
            kill_process(pid, Signal::KILL).ok();
        }
    }
    Ok(())
}
