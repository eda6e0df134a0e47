//! The window's commands that concern the shell itself and not the agent: what it knows of itself, start at
//! login, folders, the file of an export. The web view gives and gets no path: it says "the logs" or "the last
//! export", and hears a file's name.

use crate::controller::Agent;
use crate::memory::Memory;
use crate::shell::{After, Event};
use heyho_local::clock;
use heyho_local::config::{Config, ConfigError};
use heyho_local::paths::{Paths, private_dir};
use heyho_local::vocabulary::{Count, Fault, FaultCode, Request, SettingProblem, ask};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tauri::{AppHandle, Manager, State};
use tauri_plugin_autostart::ManagerExt;
use tokio::sync::{Notify, mpsc};

type Answer<T> = Result<T, Fault>;

/// What the shell itself knows.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct About {
    version: &'static str,
    /// The backend of `config.toml`, offered in the sign-in form.
    backend: Option<String>,
    /// Nobody has said yes to the first question yet.
    first_run: bool,
    /// Why the companion could not start: what `config.toml` says wrong.
    problem: Option<SettingProblem>,
    /// The app is ending, and what comes then: for a page that was not there when it was told.
    ending: Option<After>,
}

/// What the page was told of the end.
#[derive(Debug, Default)]
pub struct Ending(Mutex<Option<After>>);

impl Ending {
    pub fn note(&self, after: After) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(after);
    }

    fn noted(&self) -> Option<After> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tauri::command]
pub async fn about(
    app: AppHandle,
    paths: State<'_, Paths>,
    memory: State<'_, Memory>,
    ending: State<'_, Ending>,
) -> Answer<About> {
    let config = Config::load(&paths.config_file());
    // Beside a running agent, a file that went bad later is named by the settings.
    let starts = app.try_state::<Agent>().is_some();
    Ok(About {
        version: env!("CARGO_PKG_VERSION"),
        backend: config.as_ref().ok().map(|config| config.backend.url.to_string()),
        first_run: !memory.welcomed(),
        problem: config.err().filter(|_| !starts).map(ConfigError::problem),
        ending: ending.noted(),
    })
}

#[tauri::command]
pub async fn welcome(memory: State<'_, Memory>) -> Answer<()> {
    memory.note_welcomed().map_err(|error| failed("your answer cannot be remembered", error))
}

#[tauri::command]
pub async fn start_at_login(app: AppHandle, on: Option<bool>) -> Answer<bool> {
    let login = app.autolaunch();
    let changed = match on {
        Some(true) => login.enable(),
        Some(false) => login.disable(),
        None => Ok(()),
    };
    changed.and_then(|()| login.is_enabled()).map_err(|error| failed("the system does not allow it", error))
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "lowercase")]
pub enum Folder {
    Data,
    Settings,
    Logs,
}

#[tauri::command]
pub async fn open_folder(paths: State<'_, Paths>, folder: Folder) -> Answer<()> {
    let path = match folder {
        Folder::Data => paths.data.clone(),
        Folder::Settings => paths.config.clone(),
        Folder::Logs => paths.logs(),
    };
    // The settings' folder need not be there yet.
    let there = private_dir(&path).map_err(|error| failed("the folder cannot be made", error));
    there?;
    open(&path)
}

/// The last export of this run.
#[derive(Debug, Default)]
pub struct LastExport(Mutex<Option<PathBuf>>);

/// What an export came to. The window learns the file's name, not where it lies.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Exported {
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    count: u64,
    file: String,
}

#[tauri::command]
pub async fn export_records(
    app: AppHandle,
    agent: State<'_, Agent>,
    last: State<'_, LastExport>,
    failed: bool,
    account: Option<String>,
) -> Answer<Exported> {
    let path = free_name(&downloads(&app)?, if failed { "heyho-failed" } else { "heyho-records" });
    let request = Request::Export { path: path.clone(), failed, account, force: false };
    let Count { count } = ask(&*agent.0, request).await?;
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    *last.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
    Ok(Exported { count, file })
}

#[tauri::command]
pub async fn show_export(last: State<'_, LastExport>) -> Answer<()> {
    let path = last.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(path) = path else {
        return Err(Fault::new(FaultCode::NotFound, "nothing was exported since the companion started"));
    };
    // Not every file manager can point at a file; each can open a folder.
    match (tauri_plugin_opener::reveal_item_in_dir(&path), path.parent()) {
        (Err(_), Some(folder)) => open(folder),
        (shown, _) => shown.map_err(|error| failed("the folder cannot be opened", error)),
    }
}

#[tauri::command]
pub async fn quit(events: State<'_, mpsc::Sender<Event>>) -> Answer<()> {
    events.send(Event::Quit).await.map_err(|_| Fault::new(FaultCode::Failed, "it is ending already"))
}

/// To start the agent at once, where that did not work.
#[derive(Debug)]
pub struct Retry(pub Arc<Notify>);

/// After a start that did not work: by the settings, and once they are accepted everything begins anew; by the store,
/// and that is tried at once and not only in a while.
#[tauri::command]
pub async fn restart(app: AppHandle, paths: State<'_, Paths>) -> Answer<()> {
    if let Some(retry) = app.try_state::<Retry>() {
        retry.0.notify_one();
        return Ok(());
    }
    Config::load(&paths.config_file())?;
    app.exit(crate::again::AGAIN);
    Ok(())
}

fn open(folder: &Path) -> Answer<()> {
    tauri_plugin_opener::open_path(folder, None::<&str>)
        .map_err(|error| failed("the folder cannot be opened", error))
}

fn downloads(app: &AppHandle) -> Answer<PathBuf> {
    let path = app.path();
    let folder = path.download_dir().or_else(|_| path.home_dir().map(|home| home.join("Downloads")));
    let folder = folder.map_err(|error| failed("there is no Downloads folder", error))?;
    std::fs::create_dir_all(&folder).map_err(|error| failed("the Downloads folder cannot be made", error))?;
    Ok(folder)
}

/// A name of today that no file has.
fn free_name(folder: &Path, stem: &str) -> PathBuf {
    let today = clock::system().now().to_zoned(jiff::tz::TimeZone::system()).date();
    let first = folder.join(format!("{stem}-{today}.ndjson"));
    let others = (2..).map(|n: u32| folder.join(format!("{stem}-{today}-{n}.ndjson")));
    std::iter::once(first.clone()).chain(others).find(|path| !path.exists()).unwrap_or(first)
}

/// What a system answers may name a place: that is for the log.
fn failed(what: &str, error: impl std::fmt::Display) -> Fault {
    tracing::warn!("{what}: {error}");
    Fault::new(FaultCode::Failed, format!("{what}: the log says why"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_takes_a_name_that_is_free() {
        let scratch = tempfile::tempdir().unwrap();
        let first = free_name(scratch.path(), "heyho-records");
        std::fs::write(&first, "").unwrap();
        let second = free_name(scratch.path(), "heyho-records");
        assert_ne!(first, second);
        assert!(second.to_string_lossy().ends_with("-2.ndjson"), "{second:?}");
    }

    #[test]
    fn what_a_system_answers_is_for_the_log() {
        let fault = failed("the folder cannot be opened", "/home/ada/x: permission denied");
        assert_eq!(fault.text, "the folder cannot be opened: the log says why");
    }
}
