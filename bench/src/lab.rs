//! Where the figures are taken: the size of a run, a place on the disk, a look at a process.

use anyhow::{Context, Result};
use e2e::World;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Debug, Clone, Copy)]
pub struct Lab {
    /// A smoke test: everything once and small, times mean nothing.
    pub quick: bool,
}

impl Lab {
    /// At least seven, for a median and its quarters.
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { 7 }
    }

    /// The progress line.
    pub fn progress(&self, figure: &str, round: usize) {
        eprint!("\r  {figure}: round {} of {}   ", round + 1, self.rounds());
        if round + 1 >= self.rounds() {
            eprintln!();
        }
    }

    /// What was written before must not be paid for by what is measured next.
    pub fn settle_disk(&self) {
        if !self.quick {
            rustix::fs::sync();
        }
    }

    pub fn size(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }
}

/// A fresh data directory of a world, as an environment for the programs started in it.
#[derive(Debug, Clone)]
pub struct Place {
    pub data: PathBuf,
}

impl Place {
    pub fn new(world: &World, name: &str) -> Result<Place> {
        let data = world.dir().join("data").join(name);
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        heyho_local::paths::private_dir(&data)?;
        Ok(Place { data })
    }

    pub fn buffer(&self) -> PathBuf {
        self.data.join("buffer.db")
    }

    pub fn remove(self) -> Result<()> {
        Ok(std::fs::remove_dir_all(&self.data)?)
    }
}

pub fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Bytes that nobody else has taken.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// A line of `/proc/PID/<file>` in kB, as MB.
pub fn memory_mb(pid: u32, file: &str, line: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/{file}");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let kb = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    let kb: f64 = kb.with_context(|| format!("{line} in {path}"))?.trim().parse()?;
    Ok(kb * 1024.0 / 1e6)
}

/// CPU seconds and voluntary context switches of a process with all its threads, so far.
pub fn effort(pid: u32) -> Result<(f64, f64)> {
    let (mut nanoseconds, mut switches) = (0.0, 0.0);
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        // On the processor, in nanoseconds; the ticks of `stat` are too coarse for a thousandth of a minute.
        let ran = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        nanoseconds += ran.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        switches += line.and_then(|n| n.trim().parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok((nanoseconds / 1e9, switches))
}

/// The time of writing 4 KB to the end of a file and having it on the disk.
#[derive(Debug)]
pub struct Fsync {
    file: std::fs::File,
    at: u64,
}

impl Fsync {
    pub fn new(place: &Place) -> Result<Fsync> {
        Ok(Fsync { file: std::fs::File::create(place.data.join("fsync"))?, at: 0 })
    }

    pub fn once_ms(&mut self) -> Result<f64> {
        use std::os::unix::fs::FileExt;
        let block = [7u8; 4096];
        let start = Instant::now();
        self.file.write_all_at(&block, self.at)?;
        self.file.sync_data()?;
        self.at += block.len() as u64;
        Ok(ms(start))
    }
}
