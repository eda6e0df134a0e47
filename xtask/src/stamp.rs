//! "Made from this": `target/xtask/NAME` holds a fingerprint of the inputs something was made from, written
//! only after it was made. So what failed or broke off is made again, and what is current is left alone;
//! cargo then sees unchanged files and rebuilds nothing either.

use crate::shell::{root, target};
use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Runs `make` unless `result` is there and was made from what `inputs` (files and folders) are now.
pub fn current(name: &str, inputs: &[&str], result: &Path, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = target().join("xtask").join(name);
    let before = fingerprint(inputs)?;
    if result.exists() && fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == before) {
        return Ok(());
    }
    // Gone while it is being made: a failure must not look like the success before it.
    fs::remove_file(&stamp).ok();
    make()?;
    fs::create_dir_all(target().join("xtask"))?;
    fs::write(&stamp, before).with_context(|| stamp.display().to_string())
}

fn fingerprint(inputs: &[&str]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        let mut files = Vec::new();
        collect(&root().join(input), &mut files)?;
        files.sort();
        for file in files {
            file.hash(&mut hasher);
            fs::read(&file)?.hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The files of a folder, but for what is itself made or fetched.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if !matches!(path.file_name().and_then(|n| n.to_str()), Some("node_modules" | "dist")) {
                collect(&path, files)?;
            }
        }
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    Ok(())
}
