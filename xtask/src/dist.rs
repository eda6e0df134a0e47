//! `cargo xtask dist`: what people install, in `target/dist/`.
//!
//! - the extension for both families: one archive each, as `web-ext` packs them; Firefox's is called `.xpi` and is
//!   unsigned; each is looked at for what it must contain, and nothing else (`extension/packages.mjs`);
//! - for Debian and its kin one package: the app, the host and the command line side by side in `/usr/bin`, the
//!   manifests by which every user's browsers find the host, manual page, completions, the agent's unit. It has no
//!   maintainer scripts of its own, so removing it leaves nothing. Tauri names it after the product: `hey-ho-companion`.
//!
//! Tauri's command line makes the package (desktop entry, icons, what it depends on) of programs that are built
//! here. What they may weigh is a promise, and is judged here.

use crate::shell::{self, command, root, say, target};
use crate::{build, machine};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Fetched when it is needed, which is here only.
const BUNDLER: &str = "@tauri-apps/cli@2.12.5";

const MB: u64 = 1_000_000;
const PACKAGE_LIMIT: u64 = 15 * MB;
const HOST_LIMIT: u64 = 6 * MB;

/// In one resolution: the features of shared dependencies are those of all of them.
const BUILD: &[&str] = &[
    "cargo",
    "build",
    "--release",
    "--locked",
    "--package=heyho-host",
    "--package=heyho-cli",
    "--package=heyho-companion",
    "--package=heyho-local",
    "--bins",
    "--example=system_manifests",
    "--features=heyho-companion/custom-protocol",
];

pub fn run() -> Result<bool> {
    machine::prepare()?;
    build::web()?;
    let to = target().join("dist");
    fs::create_dir_all(&to)?;
    extension(&to)?;
    say("building the release programs");
    shell::run(&mut command(BUILD))?;
    package(&to)?;
    Ok(true)
}

fn extension(to: &Path) -> Result<()> {
    for (browser, ending) in [("chromium", "zip"), ("firefox", "xpi")] {
        let name = format!("heyho-companion-extension-{}-{browser}.{ending}", env!("CARGO_PKG_VERSION"));
        let source = format!("dist/{browser}");
        let line = ["npx", "web-ext", "build", "--overwrite-dest", "--no-config-discovery"];
        let mut pack = command(&line);
        pack.args(["--source-dir", &source, "--filename", &name, "--artifacts-dir"]).arg(to);
        shell::run(pack.current_dir(root().join("extension")))?;
        weigh(&to.join(&name), u64::MAX)?;
        let mut look = command(&["node", "packages.mjs", browser]);
        shell::run(look.arg(to.join(&name)).current_dir(root().join("extension")))?;
    }
    Ok(())
}

fn package(to: &Path) -> Result<()> {
    let release = target().join("release");
    weigh(&release.join("heyho-host"), HOST_LIMIT)?;
    let files = files(&release, &to.join("stage"))?;
    let files: Vec<String> =
        files.iter().map(|(place, from)| format!("{}:{}", quoted(place), quoted(from))).collect();
    let config = format!("{{\"bundle\":{{\"linux\":{{\"deb\":{{\"files\":{{{}}}}}}}}}}}", files.join(","));
    say("the package");
    let bundles = release.join("bundle/deb");
    if bundles.exists() {
        fs::remove_dir_all(&bundles)?;
    }
    let mut bundler = command(&["npx", "--yes", BUNDLER, "bundle", "--bundles", "deb", "--ci"]);
    shell::run(bundler.args(["--config", &config]).env("CARGO_TARGET_DIR", target()))?;
    for entry in fs::read_dir(&bundles)?.flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "deb") {
            // Names of packages have no spaces where people type them.
            let name = entry.file_name().to_string_lossy().replace(' ', "-").to_lowercase();
            let package = to.join(name);
            fs::copy(entry.path(), &package)?;
            return weigh(&package, PACKAGE_LIMIT);
        }
    }
    anyhow::bail!("no package in {}", bundles.display())
}

/// What the package has beside the app: its place, and the file it is made of.
fn files(release: &Path, stage: &Path) -> Result<Vec<(String, String)>> {
    if stage.exists() {
        fs::remove_dir_all(stage)?;
    }
    fs::create_dir_all(stage)?;
    let heyho = release.join("heyho");
    let heyho = heyho.to_string_lossy();
    let host = "/usr/bin/heyho-host";
    let manifests = release.join("examples/system_manifests");
    shell::run(command(&[&manifests.to_string_lossy()]).arg(stage).arg(host))?;
    for (place, words) in [
        ("usr/share/man/man1/heyho.1", &["man"][..]),
        ("usr/share/bash-completion/completions/heyho", &["completions", "bash"]),
        ("usr/share/zsh/vendor-completions/_heyho", &["completions", "zsh"]),
        ("usr/share/fish/vendor_completions.d/heyho.fish", &["completions", "fish"]),
    ] {
        let path = stage.join(place);
        fs::create_dir_all(path.parent().context("a place has a folder")?)?;
        fs::write(path, shell::output(command(&[&heyho]).args(words))? + "\n")?;
    }
    shell::run(command(&["gzip", "-9", "-n"]).arg(stage.join("usr/share/man/man1/heyho.1")))?;
    for (place, from) in [
        ("usr/lib/systemd/user/heyho-agent.service", "crates/cli/systemd/heyho-agent.service"),
        ("usr/share/doc/hey-ho-companion/LICENSE-MIT", "LICENSE-MIT"),
        ("usr/share/doc/hey-ho-companion/LICENSE-APACHE", "LICENSE-APACHE"),
    ] {
        let path = stage.join(place);
        fs::create_dir_all(path.parent().context("a place has a folder")?)?;
        fs::copy(root().join(from), path)?;
    }
    let mut files = Vec::new();
    collect(stage, stage, &mut files)?;
    for program in ["heyho", "heyho-host"] {
        files.push((format!("/usr/bin/{program}"), release.join(program).to_string_lossy().into_owned()));
    }
    files.sort();
    Ok(files)
}

fn collect(at: &Path, stage: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(at)? {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            collect(&path, stage, files)?;
        } else {
            let place = format!("/{}", path.strip_prefix(stage)?.display());
            files.push((place, path.to_string_lossy().into_owned()));
        }
    }
    Ok(())
}

/// Says what a file weighs; more than it may is an error.
fn weigh(file: &Path, limit: u64) -> Result<()> {
    let size = fs::metadata(file).with_context(|| file.display().to_string())?.len();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    say(&format!("{name}: {} KB", size.div_ceil(1000)));
    ensure!(size <= limit, "{name} has {size} bytes; at most {limit} were promised");
    Ok(())
}

/// As a JSON string; paths of this machine have no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
