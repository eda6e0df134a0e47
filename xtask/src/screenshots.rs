//! `cargo xtask screenshots`: pictures of the real window in every state, into `docs/screenshots/`: light, dark,
//! 360 pixels wide, German, and with large text (the looks of tests/src/bin/screenshots.rs). They are reduced to a palette, so that the repository stays small.

use crate::shell::{self, command, is_there, root, say};
use crate::{build, machine};
use anyhow::Result;
use std::fs;

pub fn run(only: Option<&str>) -> Result<bool> {
    machine::prepare()?;
    build::web()?;
    build::programs()?;
    let folder = root().join("docs/screenshots");
    say("a tour through every state of the window, once for each look");
    if !build::program("screenshots")?.arg(&folder).args(only).status()?.success() {
        return Ok(false);
    }
    if !is_there("convert") {
        say("ImageMagick is not there: the pictures stay as large as they are");
        return Ok(true);
    }
    for look in fs::read_dir(&folder)?.flatten().filter(|entry| entry.path().is_dir()) {
        for picture in fs::read_dir(look.path())?.flatten() {
            let path = picture.path();
            let path = path.to_string_lossy();
            let palette = format!("PNG8:{path}");
            shell::run(&mut command(&["convert", &path, "-strip", "-colors", "128", &palette]))?;
        }
    }
    Ok(true)
}
