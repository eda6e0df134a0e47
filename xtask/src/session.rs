//! `cargo xtask run`: the whole job once. With a display: a backend on this machine and the app, as the person
//! who runs it. Without one: the scripted session of the end-to-end tests, in a scratch home under `target/`.

use crate::shell::{self, say};
use crate::{build, machine};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

pub fn run() -> Result<bool> {
    machine::prepare()?;
    build::web()?;
    build::programs()?;
    let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match has("DISPLAY") || has("WAYLAND_DISPLAY") {
        true => desktop(),
        false => {
            say("no display: a scripted browsing session");
            let world = shell::target().join("session");
            Ok(build::program("scripted-session")?.arg(world).status()?.success())
        }
    }
}

fn desktop() -> Result<bool> {
    say("a backend on this machine, and the app; quitting the app ends both");
    let extension = shell::root().join("extension/dist");
    eprintln!(
        "The extension to load: {} (chrome://extensions, Developer mode, Load unpacked), or in Firefox {} \
         (about:debugging, This Firefox, Load Temporary Add-on).",
        extension.join("chromium").display(),
        extension.join("firefox/manifest.json").display()
    );
    let _backend = Backend::start()?;
    shell::run(build::program("heyho")?.args(["browsers", "register"]))?;
    Ok(build::program("heyho-companion")?.status()?.success())
}

/// Ends with the app.
struct Backend(Child);

impl Backend {
    fn start() -> Result<Backend> {
        let mut backend =
            Backend(build::program("heyho-backend")?.arg("serve").stdout(Stdio::piped()).spawn()?);
        let mut line = String::new();
        BufReader::new(backend.0.stdout.take().context("piped above")?).read_line(&mut line)?;
        eprint!("heyho-backend: {line}");
        ensure!(line.contains("listening on"), "the backend did not start: see above");
        Ok(backend)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
