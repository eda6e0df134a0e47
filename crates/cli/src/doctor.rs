//! `doctor`: looks at each part, says how it stands and what to do. Ends with 0 when all is well, else with 1.
//! `diagnostics`: the facts for a report, as the window copies them.

use crate::Context;
use crate::browsers::{all, is_well, rows};
use crate::link::{Link, running};
use heyho_agent::{check_backend, check_tokens, recovered};
use heyho_buffer::{Buffer, BufferError, LOG_ALARM};
use heyho_local::browsers::BrowserState;
use heyho_local::clock::{Clock, SystemClock};
use heyho_local::config;
use heyho_local::socket::Client;
use heyho_local::vocabulary::{Companion, Fault, FaultCode, Finding, Request, ask};
use heyho_records::rules::cannot_match;
use heyho_records::words::size;
use std::process::ExitCode;

/// Below this the buffer refuses to grow soon: a tenth of the free disk is the default cap.
const LITTLE_ROOM: u64 = 200_000_000;

pub async fn doctor(context: &Context) -> Result<ExitCode, Fault> {
    let agent = running(context).await;
    let mut findings = settings(context);
    findings.extend(database(context, agent.as_ref()).await);
    findings.extend(companion(context, agent.as_ref()).await);
    findings.extend(tokens(context, agent.as_ref()).await);
    findings.extend(check_backend(&context.config, SystemClock.now()).await);
    findings.extend(browsers(context).await);
    let all_good = findings.iter().all(|f| f.good);
    context.out.say(&findings, |findings| findings.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub async fn diagnostics(context: &Context) -> Result<ExitCode, Fault> {
    let link = Link::join(context, false).await?;
    let said = ask::<String>(link.companion.as_ref(), Request::Diagnostics).await;
    link.end().await;
    context.out.say(&said?, String::clone)?;
    Ok(ExitCode::SUCCESS)
}

fn line(finding: &Finding) -> String {
    let mark = if finding.good { "ok" } else { "!!" };
    let advice =
        finding.advice.as_deref().map_or(String::new(), |advice| format!("\n               → {advice}"));
    format!("{mark:<4} {:<10}{}{advice}", finding.part, finding.text)
}

fn settings(context: &Context) -> Vec<Finding> {
    const PART: &str = "settings";
    let settings = config::settings(&context.paths.config_file());
    let mut found: Vec<Finding> = settings
        .problem
        .iter()
        .map(|problem| {
            let advice = match &problem.key {
                Some(key) => format!("heyho config set {key} VALUE, or heyho config unset {key}"),
                None => "mend the file; heyho config path says where it lies".to_owned(),
            };
            Finding::bad(PART, problem.text.clone(), advice)
        })
        .collect();
    let unknown = settings.unknown.iter();
    found.extend(unknown.map(|key| {
        Finding::bad(
            PART,
            format!("{key} means nothing here"),
            "check its spelling: heyho config get lists all",
        )
    }));
    found.extend(settings.rules.iter().filter_map(|rule| {
        let accepted = cannot_match(rule)?;
        let text = format!("the privacy rule {} fits no page: its pattern is {:?}", rule.id, rule.pattern);
        Some(Finding::bad(PART, text, format!("what is accepted: {accepted}")))
    }));
    if found.is_empty() {
        found.push(Finding::good(PART, context.paths.config_file().display().to_string()));
    }
    found
}

async fn database(context: &Context, agent: Option<&Client>) -> Vec<Finding> {
    const PART: &str = "database";
    let path = context.paths.buffer();
    let opened = match heyho_local::paths::private_dir(&context.paths.data) {
        Ok(()) => Buffer::open(&path).await,
        Err(error) => Err(error.into()),
    };
    let buffer = match opened {
        Ok(buffer) => buffer.with_cap(context.config.buffer_max_bytes),
        Err(error) => {
            let text = format!("{}: {error}", path.display());
            return vec![Finding::bad(PART, text, what_to_do(&error))];
        }
    };
    let bytes = std::fs::metadata(buffer.path()).map_or(0, |m| m.len());
    let doubted = || BufferError::Damaged("damage was met while it was used".to_owned());
    let checked = match buffer.is_doubted() {
        true => Err(doubted()),
        false => buffer.check_quick().await,
    };
    let mut found = vec![match checked {
        Ok(()) => Finding::good(PART, format!("{} ({}), sound", path.display(), size(bytes))),
        Err(error) => Finding::bad(PART, error.to_string(), what_to_do(&error)),
    }];
    if let Ok(Some(problem)) = buffer.problem().await {
        let advice = match problem.code.as_str() {
            "disk_full" => what_to_do(&BufferError::DiskFull),
            _ => what_to_do(&BufferError::Full { used: 0, cap: 0 }),
        };
        found.push(Finding::bad(PART, problem.text, advice));
    }
    found.extend(buffer.network_file_system().map(network));
    let log = buffer.log_bytes();
    if log > LOG_ALARM {
        let text = format!("its log has grown to {}: some program reads and never ends", size(log));
        found.push(Finding::bad(PART, text, "end programs that have it open, backups for instance"));
    }
    found.extend(buffer.free_bytes().map(disk));
    found.extend(recovery(&buffer, agent).await);
    found
}

/// Each fault has another remedy: setting the file aside mends damage, and nothing else.
fn what_to_do(error: &BufferError) -> &'static str {
    match error {
        BufferError::Damaged(_) => {
            "quit and start HeyHo Companion: it saves what can be read, and sets the file aside"
        }
        BufferError::SchemaNewer => {
            "update this program: a newer HeyHo Companion has used the file, which is as it was"
        }
        BufferError::Busy | BufferError::Changed => {
            "wait a minute and look again; if it stays so, end programs that have the file open, backups for instance"
        }
        BufferError::Partly { error, .. } => what_to_do(error),
        BufferError::DiskFull => "free some space on its disk; what is here is safe",
        BufferError::Full { .. } => {
            "let records be delivered (sign in, where nobody is), or raise [buffer] max_bytes; what is here is \
             safe, and what is new waits in the browsers"
        }
        BufferError::DiskFails => {
            "look at the disk: it answers with errors. Copy what you need from it while it can be read"
        }
        BufferError::Replaced => "look again: another file has just taken its place",
        BufferError::OldSqlite { .. } => {
            "install the released program: this one was built with a SQLite that can damage the file"
        }
        BufferError::Unavailable(_) => {
            "see whether its folder is there and yours to write to, and whether something else has its name"
        }
        BufferError::Refused(_) => {
            "quit all of HeyHo Companion and start it: programs of different versions may be running"
        }
    }
}

/// What became of a damaged store: a fault until it was said here, a fact afterwards.
async fn recovery(buffer: &Buffer, agent: Option<&Client>) -> Option<Finding> {
    const PART: &str = "recovery";
    let recovery = buffer.recovery().await.ok().flatten()?;
    let erasing = buffer.owes_erasing().await.unwrap_or_default();
    let text = format!("{} Their folder: {}", recovered(&recovery, erasing), recovery.set_aside.display());
    if recovery.seen {
        return Some(Finding::good(PART, text));
    }
    let seen = match agent {
        Some(client) => client.call(Request::RecoverySeen).await.is_ok(),
        None => buffer.recovery_seen().await.is_ok(),
    };
    let advice = match seen {
        true => {
            "look whether anything is missing; those files stay for thirty days. This is a fault only once"
        }
        false => "look whether anything is missing; those files stay for thirty days",
    };
    Some(Finding::bad(PART, text, advice))
}

fn network(kind: &str) -> Finding {
    let text = format!("it lies on a network file system ({kind}), where SQLite can be damaged");
    Finding::bad("database", text, "set HEYHO_DATA_DIR to a folder on a local disk")
}

fn disk(free: u64) -> Finding {
    let text = format!("{} free", size(free));
    match free < LITTLE_ROOM {
        true => Finding::bad("disk", text, "free some space: without any, nothing new can be stored"),
        false => Finding::good("disk", text),
    }
}

async fn companion(context: &Context, agent: Option<&Client>) -> Vec<Finding> {
    const PART: &str = "companion";
    let Some(client) = agent else {
        let text = match std::fs::exists(context.paths.socket()) {
            Ok(true) => "not running, or it does not answer on its socket",
            _ => "not running: records are stored, and none is sent",
        };
        return vec![Finding::bad(PART, text, "start HeyHo Companion, or: heyho agent")];
    };
    let hello = client.call(Request::hello("heyho doctor")).await.unwrap_or_default();
    let ours = env!("CARGO_PKG_VERSION");
    vec![match hello.get("release").and_then(serde_json::Value::as_str) {
        Some(theirs) if theirs == ours => Finding::good(PART, format!("running, version {theirs}")),
        theirs => Finding::bad(
            PART,
            format!("running, version {}; this program is {ours}", theirs.unwrap_or("not known")),
            "quit and start HeyHo Companion, so that both are of one version",
        ),
    }]
}

async fn tokens(context: &Context, agent: Option<&Client>) -> Vec<Finding> {
    if let Some(client) = agent {
        match ask::<Vec<Finding>>(client, Request::Checkup).await {
            Ok(findings) => return findings,
            // An agent of an earlier version.
            Err(fault) if fault.code == FaultCode::UnknownCommand => {}
            Err(fault) => return vec![Finding::bad("tokens", fault.text, "quit and start HeyHo Companion")],
        }
    }
    vec![check_tokens(context.config.tokens, &context.paths).await]
}

async fn browsers(context: &Context) -> Vec<Finding> {
    const PART: &str = "browsers";
    // By the defaults a browser that is well would look wrong.
    let about_browsers = |key: &String| key.starts_with("extensions.") || key.starts_with("browsers.");
    if context.mistake.as_ref().is_some_and(|mistake| mistake.key.as_ref().is_none_or(about_browsers)) {
        let text = "not looked at: what the settings say of browsers cannot be read";
        return vec![Finding::bad(PART, text, "mend the settings first")];
    }
    let all = match all(context) {
        Ok(all) => all,
        Err(fault) => return vec![Finding::bad(PART, fault.text, "install heyho-host beside heyho")],
    };
    let rows = rows(context, &all).await;
    if rows.is_empty() {
        let advice = "start a browser once, so that it makes its profile, then: heyho browsers register";
        return vec![Finding::bad(PART, "no browser was found", advice)];
    }
    // Which of them somebody browses with is not known: it takes one.
    let silent = rows.iter().any(is_well) && rows.iter().all(|row| row.profiles.is_empty());
    let none = silent.then(|| {
        let advice =
            "load the extension in the browser that you use, and agree to capture there (README.md, Use it)";
        Finding::bad(PART, "no browser has handed over a record yet", advice)
    });
    let findings = rows.into_iter().map(|row| {
        let text = format!("{}: {}", row.name, row.sentence);
        if row.state == BrowserState::OptedOut {
            return Finding::good(PART, text);
        }
        match (is_well(&row), row.command, row.can_register) {
            (true, ..) => Finding::good(PART, text),
            (false, Some(command), _) => Finding::bad(PART, text, command),
            (false, None, true) => {
                Finding::bad(PART, text, format!("heyho browsers register {}", row.browser))
            }
            (false, None, false) => Finding {
                good: false,
                advice: row.changed.map(|file| file.display().to_string()),
                ..Finding::good(PART, text)
            },
        }
    });
    findings.chain(none).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_little_room_is_a_fault_with_what_to_do() {
        assert!(disk(LITTLE_ROOM).good);
        let full = disk(0);
        assert!(!full.good && full.advice.is_some());
    }

    #[test]
    fn a_network_file_system_is_named_with_what_to_do() {
        let found = network("NFS");
        assert!(!found.good && found.text.contains("NFS"));
        assert!(found.advice.is_some_and(|advice| advice.contains("HEYHO_DATA_DIR")));
    }

    #[test]
    fn only_damage_is_mended_by_setting_the_file_aside() {
        let damaged = BufferError::Damaged("it".to_owned());
        assert!(what_to_do(&damaged).contains("sets the file aside"));
        let others = [
            (BufferError::SchemaNewer, "update"),
            (BufferError::Busy, "wait"),
            (BufferError::DiskFull, "free some space"),
            (BufferError::Full { used: 2, cap: 1 }, "max_bytes"),
            (BufferError::DiskFails, "disk"),
            (BufferError::Replaced, "again"),
            (BufferError::OldSqlite { found: "3.40.0".to_owned() }, "install"),
            (BufferError::Unavailable("permission denied".to_owned()), "yours to write"),
            (BufferError::Refused("no such column".to_owned()), "different versions"),
        ];
        for (error, word) in others {
            let advice = what_to_do(&error);
            assert!(advice.contains(word) && !advice.contains("aside"), "{error}: {advice}");
        }
    }
}
