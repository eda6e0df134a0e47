//! A full disk. Where none may be mounted, the test says so and passes; `HEYHO_REQUIRE_SMALL_DISK=1` makes that a failure.

use crate::program::{Program, batch};
use sqlx::Connection as _;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of its own, gone when dropped. Only root may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn of(folder: &Path, size: &str) -> Option<SmallDisk> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "heyho-test"])
            .arg(folder)
            .status()
            .is_ok_and(|s| s.success());
        if !mounted {
            assert!(
                std::env::var_os("HEYHO_REQUIRE_SMALL_DISK").is_none(),
                "HEYHO_REQUIRE_SMALL_DISK is set, but this user may not mount one"
            );
            println!("skipped: a full disk was not tested, because this user may not mount a small one");
        }
        mounted.then(|| SmallDisk(folder.to_owned()))
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_an_error_saves_nothing_by_halves_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::of(folder.path(), "3m") else { return };
    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
    let program = Program::start(&url).await;
    let (client, token) = (program.client(), program.client().register().await);

    let mut saved = HashSet::new();
    let mut refused = Vec::new();
    for n in 0..60 {
        let name = format!("b{n}");
        let (status, answer) = client.sync(&token, &name, batch(&name, 50), false).await.unwrap();
        if status == 200 {
            saved.insert(name);
        } else {
            assert_eq!((status.as_u16(), answer["code"].as_str()), (500, Some("SYNC_FAILED")), "{answer}");
            assert!(!answer.to_string().to_lowercase().contains("sqlite"), "{answer}");
            refused.push(name);
        }
    }
    assert!(!saved.is_empty() && !refused.is_empty(), "{} saved, {} refused", saved.len(), refused.len());
    let whole = async || {
        let mut counts = std::collections::HashMap::new();
        for visit in client.stored(&token).await {
            let id = visit["id"].as_str().unwrap().to_owned();
            *counts.entry(id.split('-').next().unwrap().to_owned()).or_insert(0) += 1;
        }
        counts
    };
    let stored = whole().await;
    assert_eq!(stored.keys().cloned().collect::<HashSet<_>>(), saved);
    assert!(stored.values().all(|n| *n == 50), "{stored:?}");

    disk.resize("64m");
    for name in &refused {
        let (status, answer) = client.sync(&token, name, batch(name, 50), false).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(whole().await.len(), 60);
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let check: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(check, "ok");
}
