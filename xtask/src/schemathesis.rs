//! schemathesis, from the Python registry: the backend's tests have it ask everything its OpenAPI document allows.
//! Installed once, into a virtual environment in `target/tools`; after that nothing is asked of the network.

use crate::shell::{self, command, root, say, target};
use anyhow::Result;
use std::process::Command;

const VERSION: &str = "4.32.5";

pub fn install() -> Result<()> {
    let place = target().join("tools/schemathesis");
    let program = place.join("bin/schemathesis");
    let said = Command::new(&program).arg("--version").output();
    if said.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(VERSION)) {
        return Ok(());
    }
    say(&format!("fetching schemathesis {VERSION}, once"));
    shell::run(command(&["python3", "-m", "venv", "--clear"]).arg(&place))?;
    let wanted = format!("schemathesis=={VERSION}");
    let mut pip = Command::new(place.join("bin/pip"));
    pip.current_dir(root()).args(["install", "--quiet", "--disable-pip-version-check", &wanted]);
    shell::run(&mut pip)
}
