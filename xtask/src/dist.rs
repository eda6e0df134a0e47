//! `cargo xtask dist`: what people install, in `target/dist/`. The extension for both families: one archive each,
//! as `web-ext` packs them; Firefox's is called `.xpi` and is unsigned.

use crate::shell::{self, command, root, say, target};
use crate::{build, machine};
use anyhow::{Context, Result};
use std::fs;

pub fn run() -> Result<bool> {
    machine::prepare()?;
    build::web()?;
    let to = target().join("dist");
    fs::create_dir_all(&to)?;
    for (browser, ending) in [("chromium", "zip"), ("firefox", "xpi")] {
        let name = format!("heyho-companion-extension-{}-{browser}.{ending}", env!("CARGO_PKG_VERSION"));
        let source = format!("dist/{browser}");
        let line = ["npx", "web-ext", "build", "--overwrite-dest", "--no-config-discovery"];
        let mut pack = command(&line);
        pack.args(["--source-dir", &source, "--filename", &name, "--artifacts-dir"]).arg(&to);
        shell::run(pack.current_dir(root().join("extension")))?;
        let size = fs::metadata(to.join(&name)).with_context(|| name.clone())?.len();
        say(&format!("{name}: {} KB", size.div_ceil(1024)));
    }
    Ok(true)
}
