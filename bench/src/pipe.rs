//! `heyho-host` behind its two pipes, as a browser holds it, with as little as possible in between: blocking
//! reads and writes, frames prepared beforehand.

use crate::lab::Place;
use anyhow::{Context, Result, ensure};
use e2e::World;
use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

const ORIGIN: &str = "chrome-extension://abcdefghijklmnopabcdefghijklmnop/";

#[derive(Debug)]
pub struct Host {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// One of our programs in a world, with a data directory of its own.
pub fn program(world: &World, name: &str, place: &Place) -> Result<Command> {
    let template = world.program(name)?;
    let template = template.as_std();
    let mut command = Command::new(template.get_program());
    command.env_clear();
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("HEYHO_DATA_DIR", &place.data).env("HEYHO_RUNTIME_DIR", place.data.join("run"));
    command.current_dir(world.home());
    Ok(command)
}

impl Host {
    pub fn start(world: &World, place: &Place) -> Result<Host> {
        let mut command = program(world, "heyho-host", place)?;
        let mut child = command
            .arg(ORIGIN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start heyho-host")?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("piped above")?);
        Ok(Host { child, input, output })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        let input = self.input.as_mut().context("the input is open")?;
        input.write_all(frame)?;
        Ok(input.flush()?)
    }

    /// The next answer as text.
    pub fn read(&mut self) -> Result<String> {
        let mut length = [0; 4];
        self.output.read_exact(&mut length).context("the host ended")?;
        let mut body = vec![0; u32::from_ne_bytes(length) as usize];
        self.output.read_exact(&mut body)?;
        Ok(String::from_utf8(body)?)
    }

    /// A frame to its ack, which must store this many.
    pub fn stored(&mut self, frame: &[u8], records: u64) -> Result<()> {
        self.send(frame)?;
        let answer = self.read()?;
        ensure!(stored(&answer) == Some(records), "not all of {records} were stored: {answer}");
        Ok(())
    }

    /// Writes all frames as fast as the pipe takes them. Seconds until the last ack; each ack's time besides.
    pub fn pour(&mut self, frames: &[Vec<u8>], records: u64) -> Result<(f64, Vec<f64>)> {
        let mut input = self.input.take().context("the input is open")?;
        let start = Instant::now();
        let (mut times, mut total) = (Vec::with_capacity(frames.len()), 0);
        let mut answers = Vec::with_capacity(frames.len());
        let back = std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                for frame in frames {
                    input.write_all(frame)?;
                }
                input.flush()?;
                std::io::Result::Ok(input)
            });
            for _ in frames {
                answers.push(self.read()?);
                times.push(start.elapsed().as_secs_f64());
            }
            writing.join().map_err(|_| anyhow::anyhow!("the writer ended badly"))?.context("write frames")
        });
        let seconds = start.elapsed().as_secs_f64();
        self.input = Some(back?);
        for answer in &answers {
            total += stored(answer).unwrap_or(0);
        }
        ensure!(total == records, "{total} of {records} were stored; the last answer: {:?}", answers.last());
        Ok((seconds, times))
    }

    /// The end of input; the host leaves by itself.
    pub fn hang_up(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "heyho-host ended with {status}");
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // After hanging up there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stored(answer: &str) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_str(answer).ok()?;
    (value["type"] == "ack").then(|| value["stored"].as_u64()).flatten()
}
