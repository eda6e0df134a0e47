//! One program that runs beside a test. What it prints goes to a file, so nothing is lost when it is killed,
//! and waiting for a line is reading that file. Dropping the handle kills the program.

use crate::eventually::{Never, SOON, eventually};
use crate::world::MARK;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};

#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    pub(crate) fn start(name: &str, logs: &Path, mut command: Command, input: &[u8]) -> Result<Process> {
        // A second start of the same program gets a log of its own: a line of the first must not answer.
        let log = (1..)
            .map(|n| logs.join(format!("{name}.{n}.log")))
            .find(|path| !path.exists())
            .context("no name left for a log")?;
        let out = File::create(&log)?;
        command.stdout(out.try_clone()?).stderr(out);
        // A file and not a pipe: nobody has to stay and feed it.
        let mut stdin = tempfile::tempfile()?;
        stdin.write_all(input)?;
        stdin.rewind()?;
        command.stdin(stdin);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Process { name: name.into(), log, child })
    }

    /// Everything printed so far.
    pub fn printed(&self) -> String {
        std::fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// The rest of the first line that contains `mark`, once it is printed whole.
    pub async fn line_after(&mut self, mark: &str, bound: Duration) -> Result<String> {
        let rest = |line: &str| Some(line.split_once(mark)?.1.trim().to_owned());
        self.line(&format!("a line with \"{mark}\""), bound, rest).await
    }

    /// What `pick` makes of the first whole line that it knows.
    pub async fn line(
        &mut self,
        what: &str,
        bound: Duration,
        pick: impl Fn(&str) -> Option<String>,
    ) -> Result<String> {
        let what = format!("{what} from {}", self.name);
        eventually(bound, &what, async || {
            // Asked before reading: what it printed last is then seen.
            let running = self.still_runs();
            let printed = self.printed();
            let whole = printed.rsplit_once('\n').map(|(whole, _)| whole).unwrap_or_default();
            if let Some(found) = whole.lines().find_map(&pick) {
                return Ok(found);
            }
            running?;
            bail!("{printed}")
        })
        .await
    }

    /// In a probe: an ended process answers nothing any more.
    pub fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Never(format!("{} ended, {status}: {}", self.name, self.printed())).into()),
        }
    }

    /// SIGKILL: what a crash or the kernel does.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// Such as SIGSTOP and SIGCONT: it stands still, and goes on.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(pid.with_context(|| format!("{} has ended", self.name))?, signal)?;
        Ok(())
    }

    /// SIGTERM, and the end: as a service manager asks.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
            kill_process(pid, Signal::TERM)?;
        }
        self.ended().await
    }

    /// The end of a program that ends by itself.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        eventually(SOON, &what, async || {
            self.child.try_wait()?.with_context(|| format!("running: {}", self.printed()))
        })
        .await
    }
}

/// `status` as scripts see it: 128 + signal where there is no code.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Ends what still runs of one world, or (None) of every world whose test no longer runs.
pub(crate) fn end_leftovers(world: Option<&Path>) -> Result<()> {
    // A process may start another while the list is read: look again until a look finds none.
    loop {
        let mut over = marked()?;
        over.retain(|(_, owner, dir)| match world {
            Some(path) => path == dir,
            None => !Path::new("/proc").join(owner.to_string()).exists(),
        });
        if over.is_empty() {
            return Ok(());
        }
        for pid in over.iter().filter_map(|(pid, ..)| Pid::from_raw(*pid)) {
            // It may have ended by itself since the list was read.
            kill_process(pid, Signal::KILL).ok();
        }
        std::thread::yield_now();
    }
}

/// The processes of a world, as (pid, command line).
pub fn command_lines(world: &Path) -> Result<Vec<(i32, Vec<u8>)>> {
    let ours = marked()?.into_iter().filter(|(_, _, dir)| dir == world);
    Ok(ours
        .filter_map(|(pid, _, _)| Some((pid, std::fs::read(format!("/proc/{pid}/cmdline")).ok()?)))
        .collect())
}

/// Whether nothing of a process is left that could still hold a file: it is gone, or a zombie without threads.
pub fn has_ended(pid: i32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'));
    threads == 0 || (threads == 1 && zombie)
}

/// Every process that carries the mark: (pid, the test's pid, the world's directory).
fn marked() -> Result<Vec<(i32, u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        // Another user's process, or one that ended meanwhile: not ours.
        let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
        let mark = environment.split(|b| *b == 0).find_map(|line| {
            std::str::from_utf8(line).ok()?.strip_prefix(MARK)?.strip_prefix('=')?.split_once(':')
        });
        if let Some((owner, dir)) = mark
            && let Ok(owner) = owner.parse()
        {
            found.push((pid, owner, PathBuf::from(dir)));
        }
    }
    Ok(found)
}

pub(crate) fn print_ends_of_logs(logs: &Path) {
    let Ok(entries) = std::fs::read_dir(logs) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        let text = std::fs::read(&path).map(|b| String::from_utf8_lossy(&b).into_owned());
        let lines: Vec<String> = text.unwrap_or_default().lines().map(str::to_owned).collect();
        if !lines.is_empty() {
            eprintln!("--- the end of {}", path.display());
            for line in &lines[lines.len().saturating_sub(15)..] {
                eprintln!("    {line}");
            }
        }
    }
}
