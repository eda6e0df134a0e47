//! What the window may ask. Each command forwards one request of the vocabulary and decides nothing; the list is
//! also in build.rs, and what a window may call of it in src-tauri/capabilities.

use crate::controller::Agent;
use crate::shell::Event;
use heyho_local::config::Config;
use heyho_local::paths::Paths;
use heyho_local::vocabulary::{
    Count, FailedPage, FailedRecord, Fault, FaultCode, Login, Request, Run, Selection, ask,
};
use heyho_records::status::{Account, Status};
use serde::Serialize;
use tauri::State;
use tokio::sync::mpsc;

type Answer<T> = Result<T, Fault>;

/// What the shell itself knows; ui/src/lib/companion.ts has the same shape.
#[derive(Debug, Serialize)]
pub struct About {
    version: &'static str,
    backend: Option<String>,
}

#[tauri::command]
pub async fn about(paths: State<'_, Paths>) -> Answer<About> {
    let backend = Config::load(&paths.config_file())
        .map(|config| config.backend.url.to_string())
        .map_err(|error| Fault::new(FaultCode::Configuration, error.to_string()))?;
    Ok(About { version: env!("CARGO_PKG_VERSION"), backend: Some(backend) })
}

#[tauri::command]
pub async fn status(agent: State<'_, Agent>) -> Answer<Option<Status>> {
    Ok(agent.0.watch().borrow().clone())
}

#[tauri::command]
pub async fn sync(agent: State<'_, Agent>) -> Answer<()> {
    tell(&agent, Request::Sync { wait: false }).await
}

#[tauri::command]
pub async fn stop(agent: State<'_, Agent>) -> Answer<()> {
    tell(&agent, Request::Stop).await
}

#[tauri::command]
pub async fn pause(agent: State<'_, Agent>, seconds: Option<u64>) -> Answer<()> {
    tell(&agent, Request::Pause { seconds }).await
}

#[tauri::command]
pub async fn resume(agent: State<'_, Agent>) -> Answer<()> {
    tell(&agent, Request::Resume).await
}

#[tauri::command]
pub async fn login(agent: State<'_, Agent>, login: Login) -> Answer<Account> {
    ask(&*agent.0, Request::Login(login)).await
}

#[tauri::command]
pub async fn logout(agent: State<'_, Agent>) -> Answer<()> {
    tell(&agent, Request::Logout).await
}

#[tauri::command]
pub async fn failed_list(
    agent: State<'_, Agent>,
    after: i64,
    limit: u32,
    reason: Option<String>,
) -> Answer<FailedPage> {
    ask(&*agent.0, Request::FailedList { after, limit, reason }).await
}

#[tauri::command]
pub async fn failed_show(agent: State<'_, Agent>, number: i64) -> Answer<FailedRecord> {
    ask(&*agent.0, Request::FailedShow { number }).await
}

#[tauri::command]
pub async fn failed_retry(agent: State<'_, Agent>, which: Selection) -> Answer<Count> {
    ask(&*agent.0, Request::FailedRetry { which }).await
}

#[tauri::command]
pub async fn failed_discard(agent: State<'_, Agent>, which: Selection) -> Answer<Count> {
    ask(&*agent.0, Request::FailedDiscard { which }).await
}

#[tauri::command]
pub async fn failed_keep(agent: State<'_, Agent>, which: Selection) -> Answer<Count> {
    ask(&*agent.0, Request::FailedKeep { which }).await
}

#[tauri::command]
pub async fn history(agent: State<'_, Agent>, limit: u32) -> Answer<Vec<Run>> {
    ask(&*agent.0, Request::History { limit }).await
}

#[tauri::command]
pub async fn quit(events: State<'_, mpsc::Sender<Event>>) -> Answer<()> {
    events.send(Event::Quit).await.map_err(|_| Fault::new(FaultCode::Failed, "it is ending already"))
}

/// Whatever is answered to an order is of no interest here; the next status says what came of it.
async fn tell(agent: &Agent, request: Request) -> Answer<()> {
    agent.0.call(request).await.map(drop)
}
