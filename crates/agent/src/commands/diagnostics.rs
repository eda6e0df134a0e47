//! `diagnostics`: what a report of a fault needs, and nothing that says who somebody is or where they were: no
//! addresses, no e-mail, no tokens, no titles. A backend is named only as being on this computer or not.

use super::Service;
use heyho_local::config;
use heyho_records::status::Status;
use std::fmt::Write;

/// Settings whose value names a place or a person: only whether they are set is said.
const NOT_SHOWN: [&str; 3] = ["backend.url", "backend.ca_file", "backend.proxy"];
const RUNS: u32 = 10;

impl Service {
    pub(super) async fn diagnostics(&self) -> String {
        let status = self.status().await;
        let mut text = String::new();
        let _ = writeln!(text, "HeyHo Companion {}", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(text, "system: {} {}", std::env::consts::OS, std::env::consts::ARCH);
        let _ = writeln!(text, "time: {}", self.clock.now());
        about(&mut text, &status);
        let live = self.live.read();
        if let Some(why) = &live.last_end {
            let _ = writeln!(text, "last end: {}", why.code());
        }
        let _ = writeln!(text, "connected browsers: {}", live.connected.len());
        if let Ok(reasons) = self.buffer.failed_by_reason().await {
            for (code, n) in reasons {
                let _ = writeln!(text, "failed: {code} {n}");
            }
        }
        self.files(&mut text).await;
        self.settings(&mut text);
        if let Ok(runs) = self.history(RUNS).await {
            for run in runs {
                let _ = writeln!(
                    text,
                    "run: {} batches {} sent {} failed {} {}",
                    run.started_at, run.batches, run.sent, run.failed, run.outcome
                );
            }
        }
        text
    }

    async fn files(&self, text: &mut String) {
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let log = self.buffer.path().with_extension("db-wal");
        let _ = writeln!(text, "database: {} bytes, log {} bytes", size(self.buffer.path()), size(&log));
    }

    fn settings(&self, text: &mut String) {
        let settings = config::settings(&self.paths.config_file());
        let local = self.config().backend.url.as_str().contains("127.0.0.1");
        let _ = writeln!(text, "backend: {}", if local { "on this computer" } else { "elsewhere" });
        for setting in settings.settings.iter().filter(|setting| setting.set) {
            let hidden = NOT_SHOWN.contains(&setting.key.as_str());
            let shown = if hidden { "(set)".to_owned() } else { setting.value.to_string() };
            let _ = writeln!(text, "setting: {} {shown}", setting.key);
        }
        let _ = writeln!(text, "rules: {}", settings.rules.len());
        if let Some(problem) = &settings.problem {
            let _ = writeln!(text, "settings are mistaken: {}", problem.key.as_deref().unwrap_or("the file"));
        }
    }
}

fn about(text: &mut String, status: &Status) {
    let _ = writeln!(text, "state: {}", status.state.name());
    for code in status.reason_code.iter().chain(status.also.iter().map(|said| &said.code)) {
        let _ = writeln!(text, "reason: {code}");
    }
    let backlog = &status.backlog;
    let _ = writeln!(
        text,
        "waiting: {} page visits, {} tab aggregates, {} bytes, {} held, oldest {}",
        backlog.page_visits,
        backlog.tab_aggregates,
        backlog.bytes,
        backlog.held,
        backlog.oldest_at.map_or("none".to_owned(), |at| at.to_string())
    );
    let _ = writeln!(text, "failed: {}, kept quietly {}", status.failed, status.failed_kept);
    let _ =
        writeln!(text, "unclaimed: {}, other accounts: {}", status.unclaimed, status.other_accounts.len());
    let never = || "never".to_owned();
    let _ = writeln!(text, "confirmed: {}", status.last_confirmed_at.map_or_else(never, |at| at.to_string()));
    let _ = writeln!(text, "signed in: {}", status.account.is_some());
}
