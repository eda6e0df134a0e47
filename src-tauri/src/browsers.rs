//! The window's commands about browsers. They look at this machine's files, as `heyho browsers` does; which of
//! them are connected comes from the status.

use crate::controller::Agent;
use heyho_local::browsers::{self, BrowserRow, Registration, Roots, System};
use heyho_local::clock;
use heyho_local::config::{self, Config};
use heyho_local::paths::Paths;
use heyho_local::vocabulary::{Fault, FaultCode};
use tauri::State;

#[tauri::command]
pub async fn browsers(agent: State<'_, Agent>, paths: State<'_, Paths>) -> Result<Vec<BrowserRow>, Fault> {
    let config = config(&paths);
    rows(&agent, &config, &registrations(&config)?)
}

/// Makes the host known to one browser, and forgets that it was not wanted.
#[tauri::command]
pub async fn register_browser(
    agent: State<'_, Agent>,
    paths: State<'_, Paths>,
    browser: String,
) -> Result<Vec<BrowserRow>, Fault> {
    let config = config(&paths);
    let all = registrations(&config)?;
    if !all.iter().any(|one| one.browser == browser) {
        return Err(Fault::new(FaultCode::NotFound, format!("there is no browser {browser:?}")));
    }
    let config = browsers::ask(&paths.config_file(), &config, &all, Some(&browser), true)?;
    rows(&agent, &config, &all)
}

/// As far as the file can be understood: a mistake elsewhere in it does not hide browsers.
fn config(paths: &Paths) -> Config {
    config::read(&paths.config_file()).config
}

fn registrations(config: &Config) -> Result<Vec<Registration>, Fault> {
    let roots = Roots::of_user()
        .ok_or_else(|| Fault::new(FaultCode::Configuration, "no home directory was found"))?;
    let host = browsers::host().map_err(|error| Fault::new(FaultCode::Failed, error.to_string()))?;
    Ok(browsers::registrations(System::here(), &roots, &host, &config.extensions))
}

fn rows(agent: &Agent, config: &Config, all: &[Registration]) -> Result<Vec<BrowserRow>, Fault> {
    let heard = agent.0.watch().borrow().as_ref().map(|status| status.browsers.clone()).unwrap_or_default();
    Ok(browsers::survey(all, &heard, &config.opt_out(), clock::system().now()))
}
