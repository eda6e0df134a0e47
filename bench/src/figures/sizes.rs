//! What is shipped, in bytes.

use super::Taken;
use crate::figure::Row;
use crate::lab::Lab;
use anyhow::{Context, Result};
use e2e::world::{built, repository};
use std::path::{Path, PathBuf};

pub async fn take(_lab: Lab) -> Result<Taken> {
    let mut rows = Vec::new();
    for (name, limit) in
        [("heyho-host", Some(6.0)), ("heyho", None), ("heyho-companion", None), ("heyho-backend", None)]
    {
        let row = Row::new(&format!("size of {name}"), "MB");
        let mut row = if let Some(limit) = limit { row.at_most(limit) } else { row };
        row.value(megabytes(&built(name)?)?);
        rows.push(row);
    }
    let mut deb = Row::new("size of the deb", "MB").at_most(15.0);
    match newest_deb()? {
        Some(path) => deb.value(megabytes(&path)?),
        None => deb.note = "no deb beside these programs: `cargo xtask dist` makes it".to_owned(),
    }
    rows.push(deb);
    let mut ui = Row::new("UI bundle, gzipped", "kB").at_most(150.0);
    ui.value(gzipped(&repository("ui/dist"))? / 1e3);
    let mut extension = Row::new("extension for Chromium, gzipped", "kB");
    extension.value(gzipped(&repository("extension/dist/chromium"))? / 1e3);
    rows.extend([ui, extension]);
    Ok(Taken { rows, plots: Vec::new() })
}

fn megabytes(path: &Path) -> Result<f64> {
    Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.len() as f64 / 1e6)
}

fn newest_deb() -> Result<Option<PathBuf>> {
    let beside = built("heyho-host")?;
    let folder = beside.parent().map(|dir| dir.join("bundle/deb")).unwrap_or_default();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(None) };
    let mut debs: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    debs.retain(|path| path.extension().is_some_and(|end| end == "deb"));
    debs.sort_by_key(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok());
    Ok(debs.pop())
}

/// The sum over the files, each gzipped by itself, as a browser or a package would see it.
fn gzipped(folder: &Path) -> Result<f64> {
    let mut sum = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut encoder, &std::fs::read(&path)?)?;
            sum += encoder.finish()?.len();
        }
    }
    Ok(sum as f64)
}
