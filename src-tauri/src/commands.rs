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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// What stands between two marks of a source file, as words.
    fn words<'a>(source: &'a str, from: &str, to: &str) -> BTreeSet<&'a str> {
        let (_, rest) = source.split_once(from).unwrap();
        let (list, _) = rest.split_once(to).unwrap();
        list.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn declared_handled_and_allowed_are_the_same_commands() {
        let declared = words(include_str!("../build.rs"), "const COMMANDS: &[&str] = &[", "];");
        let mut handled = words(include_str!("app.rs"), "generate_handler![", "]");
        handled.remove("commands");
        let capability: serde_json::Value =
            serde_json::from_str(include_str!("../capabilities/window.json")).unwrap();
        let permissions: Vec<&str> =
            capability["permissions"].as_array().unwrap().iter().filter_map(|p| p.as_str()).collect();
        let allowed: BTreeSet<String> = permissions
            .iter()
            .filter_map(|p| p.strip_prefix("allow-"))
            .map(|command| command.replace('-', "_"))
            .collect();
        assert_eq!(declared, handled);
        assert_eq!(declared, allowed.iter().map(String::as_str).collect());
        let beyond: Vec<&&str> = permissions.iter().filter(|p| !p.starts_with("allow-")).collect();
        assert_eq!(beyond, [&"core:event:allow-listen", &"core:event:allow-unlisten"]);
        assert_eq!(capability["windows"], serde_json::json!(["main"]));
        assert!(capability.get("remote").is_none());
    }
}
