//! What the user asks for about browsers, from the command line or the window: first remembered in the settings, or
//! the next start would undo it, then done.

use super::register::{register, unregister};
use super::{Registration, in_a_mount};
use crate::config::{self, Config};
use crate::vocabulary::{Fault, FaultCode};
use serde_json::Value;
use std::path::Path;

/// One browser by its name, or all that are installed. Answers the settings as they are then.
pub fn ask(
    file: &Path,
    config: &Config,
    all: &[Registration],
    browser: Option<&str>,
    registered: bool,
) -> Result<Config, Fault> {
    if registered && in_a_mount() {
        let text = "this runs from an AppImage: its programs are gone when it ends, and a browser cannot be told where they are. Install the package, or unpack the AppImage (--appimage-extract) and register from there";
        return Err(Fault::new(FaultCode::Failed, text));
    }
    let config = remember(file, config, browser, registered)?;
    match registered {
        true => register(all, browser),
        false => unregister(all, browser, &config.opt_out()),
    }
    .map_err(|error| {
        let what = if registered { "written" } else { "taken away" };
        Fault::new(FaultCode::Failed, format!("a registration cannot be {what}: {error}"))
    })?;
    Ok(config)
}

fn remember(file: &Path, config: &Config, browser: Option<&str>, registered: bool) -> Result<Config, Fault> {
    let set = |key: &str, value: Value| match config::set(file, key, &value) {
        Ok(_) => Ok(config::read(file).config),
        Err(error) => Err(Fault::from(error)),
    };
    let mut config = config.clone();
    let Some(browser) = browser.map(str::to_lowercase) else {
        if config.register_browsers != registered {
            config = set("browsers.register", registered.into())?;
        }
        if registered && !config.skipped_browsers.is_empty() {
            config = set("browsers.skip", Value::Null)?;
        }
        return Ok(config);
    };
    let mut skipped = config.skipped_browsers.clone();
    skipped.retain(|name| !name.eq_ignore_ascii_case(&browser));
    if !registered {
        skipped.push(browser);
    }
    if skipped != config.skipped_browsers {
        config = set("browsers.skip", skipped.into())?;
    }
    Ok(config)
}
