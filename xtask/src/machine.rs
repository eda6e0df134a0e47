//! What the machine needs beyond Rust, Node and git, and how it gets it. Nothing is asked of the network for
//! what is already there, so that everything works again without it.

use crate::shell::{self, command, is_there, root, say, target};
use crate::stamp;
use anyhow::Result;
use std::process::Command;

/// Something is lacking that this program cannot get by itself: exit status 69.
#[derive(Debug)]
pub struct Lacking(String);

impl std::fmt::Display for Lacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lacking {}

/// To build the desktop app, and to test it as a person uses it.
const PACKAGES: &[&str] = &[
    // compiling and linking
    "build-essential",
    "pkg-config",
    "libwebkit2gtk-4.1-dev",
    "libayatana-appindicator3-dev",
    "librsvg2-dev",
    "libxdo-dev",
    // a desktop without a screen, its Secret Service, browsers, and drivers for them and for the app's window
    "xvfb",
    "dbus",
    "gnome-keyring",
    "fonts-dejavu-core",
    "chromium",
    "chromium-driver",
    "firefox-esr",
    "webkit2gtk-driver",
    // the backend's other store: its tests start a cluster of their own
    "postgresql",
    // schemathesis asks the backend what its document allows
    "python3-venv",
];

const DENY: &str = "0.20.2";
/// Debian has no driver for Firefox.
const GECKODRIVER: &str = "0.37.1";

/// All that building and testing ask for.
pub fn prepare() -> Result<()> {
    packages()?;
    node()?;
    crates()
}

fn packages() -> Result<()> {
    if !is_there("dpkg-query") {
        say(&format!(
            "this is no Debian: the packages wanted are those that Debian calls {}",
            PACKAGES.join(" ")
        ));
        return Ok(());
    }
    let installed = |package: &&&str| {
        let asked = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]).output();
        asked.is_ok_and(|answer| answer.stdout == b"installed")
    };
    let lacking: Vec<&str> = PACKAGES.iter().filter(|p| !installed(p)).copied().collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let install = [&["apt-get", "install", "--yes", "--no-install-recommends"], lacking.as_slice()].concat();
    if shell::output(&mut command(&["id", "-u"]))? != "0" {
        let line = install.join(" ");
        return Err(Lacking(format!("packages are lacking. Please run: sudo {line}")).into());
    }
    say(&format!("installing {} Debian packages: {}", lacking.len(), lacking.join(" ")));
    shell::run(&mut command(&["apt-get", "update"]))?;
    shell::run(command(&install).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn node() -> Result<()> {
    for program in ["node", "npm"] {
        if !is_there(program) {
            return Err(Lacking(format!(
                "{program} is lacking. Please install Node.js 20 or newer with npm"
            ))
            .into());
        }
    }
    for folder in ["ui", "extension"] {
        let inputs = [format!("{folder}/package.json"), format!("{folder}/package-lock.json")];
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let modules = root().join(folder).join("node_modules");
        stamp::current(&format!("npm-{folder}"), &inputs, &modules, || {
            say(&format!("fetching the npm packages of {folder}/"));
            let line = ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline"];
            shell::run(command(&line).current_dir(root().join(folder)).stdout(std::io::stderr()))
        })?;
    }
    Ok(())
}

/// The crates of every platform, once: cargo-deny reads the licences of them all.
fn crates() -> Result<()> {
    stamp::current("crates", &["Cargo.lock"], &root().join("Cargo.lock"), || {
        say("fetching crates");
        shell::run(&mut command(&["cargo", "fetch", "--locked"]))
    })
}

/// cargo-deny, which takes about three minutes to build.
pub fn cargo_deny() -> Result<Command> {
    tool("cargo-deny", DENY)
}

/// Firefox's WebDriver, which takes about two; the end-to-end tests find it where it lies.
pub fn geckodriver() -> Result<()> {
    tool("geckodriver", GECKODRIVER).map(drop)
}

/// A program from crates, built once for this repository.
fn tool(name: &str, version: &str) -> Result<Command> {
    let tools = target().join("tools");
    let program = tools.join("bin").join(name);
    let wanted = format!("{name} {version}");
    let is_it = |said: &str| said.lines().next().is_some_and(|line| line.trim().starts_with(&wanted));
    let said = Command::new(&program).arg("--version").output();
    if !said.is_ok_and(|output| is_it(&String::from_utf8_lossy(&output.stdout))) {
        say(&format!("building {wanted}, once"));
        let wanted = format!("{name}@{version}");
        let line = ["cargo", "install", "--quiet", "--locked", "--force", &wanted, "--root"];
        shell::run(command(&line).arg(&tools))?;
    }
    let mut command = Command::new(program);
    command.current_dir(root());
    Ok(command)
}
