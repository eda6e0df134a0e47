//! The machine a run was taken on, as a reader needs it to compare.

use anyhow::Result;
use serde::Serialize;
use sqlx::Connection;
use std::path::Path;

#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gb: f64,
    pub kernel: String,
    pub system: String,
    pub file_system: String,
    pub sqlite: String,
    /// Programs that wanted a core when the run began, over one minute.
    pub load: String,
}

impl Machine {
    pub async fn look(place: &Path) -> Result<Machine> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str, sign: char| {
            let line = text.lines().find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix(sign));
            line.unwrap_or("unknown").trim().trim_matches('"').to_owned()
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal", ':');
        let kb: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
        let mut memory_db = sqlx::SqliteConnection::connect("sqlite::memory:").await?;
        let sqlite: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut memory_db).await?;
        Ok(Machine {
            processor: value(&read("/proc/cpuinfo"), "model name", ':'),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gb: (kb * 1024.0 / 1e8).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: value(&read("/etc/os-release"), "PRETTY_NAME", '='),
            file_system: file_system(&read("/proc/mounts"), place),
            sqlite,
            load: read("/proc/loadavg").split_whitespace().next().unwrap_or_default().to_owned(),
        })
    }
}

/// Of the mount that lies nearest above a place: its type.
fn file_system(mounts: &str, place: &Path) -> String {
    let mount = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    let above = mounts.lines().filter_map(mount).filter(|(on, _)| place.starts_with(on));
    above.max_by_key(|(on, _)| on.len()).map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/home/x")), "ext4");
    }
}
