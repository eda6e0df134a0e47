//! What the window may ask of the agent. Each command forwards one request of the vocabulary and decides nothing; what
//! it may ask of the shell is in `own`. No answer says where something lies, or holds a secret. The list of both is also
//! in build.rs, and what a window may call of it in src-tauri/capabilities.

use crate::controller::Agent;
use heyho_local::vocabulary::{
    BackendTest, Count, Delivered, FailedPage, FailedRecord, Fault, FaultCode, Forgotten, Login, Request,
    Run, Selection, Settings, Timeline, WaitingPage, ask,
};
use heyho_records::rules::Rule;
use heyho_records::status::{Account, Status};
use jiff::Timestamp;
use serde_json::Value;
use tauri::State;

type Answer<T> = Result<T, Fault>;

#[tauri::command]
pub async fn status(agent: State<'_, Agent>) -> Answer<Option<Status>> {
    let watch = agent.0.watch();
    if watch.has_changed().is_err() {
        return Err(Fault::new(FaultCode::AgentNotRunning, "nothing is heard of the agent any more"));
    }
    Ok(watch.borrow().clone())
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
pub async fn failed_discard(
    agent: State<'_, Agent>,
    which: Selection,
    as_of: Option<Timestamp>,
) -> Answer<Count> {
    ask(&*agent.0, Request::FailedDiscard { which, as_of }).await
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
pub async fn claim(agent: State<'_, Agent>) -> Answer<Count> {
    ask(&*agent.0, Request::Claim).await
}

#[tauri::command]
pub async fn verify(
    agent: State<'_, Agent>,
    email: String,
    code: String,
    backend: Option<String>,
) -> Answer<()> {
    tell(&agent, Request::Verify { email, code, backend }).await
}

#[tauri::command]
pub async fn resend_code(agent: State<'_, Agent>, email: String, backend: Option<String>) -> Answer<()> {
    tell(&agent, Request::VerifyResend { email, backend }).await
}

#[tauri::command]
pub async fn forgot_password(agent: State<'_, Agent>, email: String, backend: Option<String>) -> Answer<()> {
    tell(&agent, Request::PasswordReset { email, backend }).await
}

/// A new password by the code of that message.
#[tauri::command]
pub async fn set_password(
    agent: State<'_, Agent>,
    email: String,
    code: String,
    password: String,
    backend: Option<String>,
) -> Answer<()> {
    tell(&agent, Request::PasswordSet { email, code, password, backend }).await
}

#[tauri::command]
pub async fn waiting_list(
    agent: State<'_, Agent>,
    after: i64,
    limit: u32,
    search: Option<String>,
) -> Answer<WaitingPage> {
    ask(&*agent.0, Request::WaitingList { after, limit, search }).await
}

#[tauri::command]
pub async fn waiting_discard(agent: State<'_, Agent>, which: Selection) -> Answer<Count> {
    ask(&*agent.0, Request::WaitingDiscard { which }).await
}

#[tauri::command]
pub async fn delivered(agent: State<'_, Agent>) -> Answer<Vec<Delivered>> {
    ask(&*agent.0, Request::Delivered).await
}

#[tauri::command]
pub async fn timeline(agent: State<'_, Agent>) -> Answer<Timeline> {
    ask(&*agent.0, Request::Timeline).await
}

#[tauri::command]
pub async fn settings(agent: State<'_, Agent>) -> Answer<Settings> {
    ask(&*agent.0, Request::ConfigGet).await.map(shown)
}

#[tauri::command]
pub async fn set_setting(agent: State<'_, Agent>, key: String, value: Value) -> Answer<Settings> {
    ask(&*agent.0, Request::ConfigSet { key, value }).await.map(shown)
}

#[tauri::command]
pub async fn add_rule(agent: State<'_, Agent>, rule: Rule) -> Answer<Settings> {
    ask(&*agent.0, Request::RulesAdd { rule }).await.map(shown)
}

#[tauri::command]
pub async fn remove_rule(agent: State<'_, Agent>, rule: Rule) -> Answer<Settings> {
    ask(&*agent.0, Request::RulesRemove { rule }).await.map(shown)
}

#[tauri::command]
pub async fn test_backend(agent: State<'_, Agent>, url: String) -> Answer<BackendTest> {
    ask(&*agent.0, Request::BackendTest { url }).await
}

#[tauri::command]
pub async fn forget(agent: State<'_, Agent>, domain: String, backend: bool) -> Answer<Forgotten> {
    ask(&*agent.0, Request::Forget { domain, backend }).await
}

#[tauri::command]
pub async fn erase(agent: State<'_, Agent>) -> Answer<Count> {
    ask(&*agent.0, Request::Erase).await
}

#[tauri::command]
pub async fn discard_account(agent: State<'_, Agent>, account: String) -> Answer<Count> {
    ask(&*agent.0, Request::DiscardAccount { account }).await
}

#[tauri::command]
pub async fn diagnostics(agent: State<'_, Agent>) -> Answer<String> {
    ask(&*agent.0, Request::Diagnostics).await
}

/// What was saved of a damaged store was read by somebody: it need not be said any more.
#[tauri::command]
pub async fn recovery_seen(agent: State<'_, Agent>) -> Answer<()> {
    tell(&agent, Request::RecoverySeen).await
}

/// Settings the window has no place for: where a file lies, and an address that may hold a password.
const NOT_SHOWN: [&str; 2] = ["backend.ca_file", "backend.proxy"];

fn shown(mut settings: Settings) -> Settings {
    settings.settings.retain(|setting| !NOT_SHOWN.contains(&setting.key.as_str()));
    settings
}

/// Whatever is answered to an order is of no interest here; the next status says what came of it.
async fn tell(agent: &Agent, request: Request) -> Answer<()> {
    agent.0.call(request).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    /// What stands between two marks of a source file, as words.
    fn words<'a>(source: &'a str, from: &str, to: &str) -> BTreeSet<&'a str> {
        let (_, rest) = source.split_once(from).unwrap();
        let (list, _) = rest.split_once(to).unwrap();
        list.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|word| !word.is_empty()).collect()
    }

    type Commands<'a> = BTreeMap<&'a str, BTreeSet<String>>;

    /// The commands of a source file, each with the arguments that a window gives, as Tauri names them there.
    fn commands(source: &str) -> Commands<'_> {
        fn read(rest: &str) -> Option<(&str, BTreeSet<String>)> {
            let (name, rest) = rest.split_once(" fn ")?.1.split_once('(')?;
            // A name stands before each colon, its type after it.
            let arguments = rest.split_once(") ->")?.0.replace("::", ".");
            let parts: Vec<&str> = arguments.split(':').map(str::trim).collect();
            let given = parts
                .windows(2)
                .filter(|pair| !["State<", "AppHandle"].iter().any(|own| pair[1].starts_with(own)));
            let names = given.filter_map(|pair| pair[0].rsplit([' ', ',', '\n']).next());
            Some((name, names.map(camel).collect()))
        }
        source.split("#[tauri::command]").skip(1).map(|rest| read(rest).unwrap()).collect()
    }

    /// The same, as the window calls them.
    fn calls(source: &str) -> Commands<'_> {
        fn read(rest: &str) -> Option<(&str, BTreeSet<String>)> {
            let (name, rest) = rest.strip_prefix('"')?.split_once('"')?;
            let given = rest.strip_prefix(", {").and_then(|rest| rest.split_once('}'));
            let names = given.map_or("", |(given, _)| given).split(',');
            let names = names.filter_map(|one| one.split(':').next()).map(str::trim);
            Some((name, names.filter(|name| !name.is_empty()).map(str::to_owned).collect()))
        }
        source.split("invoke(").skip(1).map(|rest| read(rest).unwrap()).collect()
    }

    fn camel(name: &str) -> String {
        let mut parts = name.split('_');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |mut all, part| {
            all.push_str(&part[..1].to_uppercase());
            all.push_str(&part[1..]);
            all
        })
    }

    #[test]
    fn the_window_calls_each_command_by_its_name_and_with_its_arguments() {
        let sources = [include_str!("commands.rs"), include_str!("own.rs"), include_str!("browsers.rs")];
        // The tests are after the commands, and speak of them.
        let taken: Commands<'_> = sources
            .iter()
            .flat_map(|source| commands(source.split("#[cfg(test)]").next().unwrap_or(source)))
            .collect();
        let called = calls(include_str!("../../ui/src/lib/companion.ts"));
        assert_eq!(called, taken);
        assert_eq!(taken["export_records"], ["account", "failed"].map(str::to_owned).into());
    }

    #[test]
    fn no_setting_that_names_a_place_or_holds_a_secret_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let text = format!(
            "[backend]\nca_file = \"{}/ca.pem\"\nproxy = \"http://ada:geheim@localhost:1\"\n",
            dir.path().display()
        );
        std::fs::write(&file, text).unwrap();
        let whole = heyho_local::config::settings(&file);
        let shown = super::shown(whole.clone());
        assert_eq!(shown.settings.len() + super::NOT_SHOWN.len(), whole.settings.len());
        let shown = serde_json::to_string(&shown).unwrap();
        assert!(!shown.contains("geheim") && !shown.contains(dir.path().to_str().unwrap()), "{shown}");
    }

    #[test]
    fn declared_handled_and_allowed_are_the_same_commands() {
        let declared = words(include_str!("../build.rs"), "const COMMANDS: &[&str] = &[", "];");
        let mut handled = words(include_str!("parts.rs"), "generate_handler![", "]");
        handled.retain(|word| !["commands", "own"].contains(word));
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
        // Without the last one, Ctrl and plus do nothing.
        let zoom = "core:webview:allow-set-webview-zoom";
        assert_eq!(beyond, [&"core:event:allow-listen", &"core:event:allow-unlisten", &zoom]);
        assert_eq!(capability["windows"], serde_json::json!(["main"]));
        assert!(capability.get("remote").is_none());
    }
}
