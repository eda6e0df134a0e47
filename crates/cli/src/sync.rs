//! `status`, `sync`, `pause`, `resume`, `agent`.

use crate::link::{Link, running, start};
use crate::progress::{self, NOW_AND_THEN};
use crate::{Context, sentence};
use heyho_agent::go_on_staying;
use heyho_buffer::Buffer;
use heyho_local::clock::{self, Clock};
use heyho_local::config;
use heyho_local::vocabulary::{Companion, Fault, FaultCode, Request, RunSummary, ask};
use heyho_records::status::{Said, State, Status};
use heyho_records::words::number;
use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub async fn status(context: &Context) -> Result<ExitCode, Fault> {
    let status = current_status(context).await?;
    context
        .out
        .say(&status, |status| sentence::status(status, clock::SystemClock.now(), &TimeZone::system()))?;
    Ok(ExitCode::SUCCESS)
}

/// From the agent, or from the buffer where none runs.
pub async fn current_status(context: &Context) -> Result<Status, Fault> {
    if let Some(client) = running(context).await {
        match ask(&client, Request::Status).await {
            // It ended between two words.
            Err(fault) if fault.code == FaultCode::AgentNotRunning => {}
            answered => return answered,
        }
    }
    let now = clock::SystemClock.now_ms();
    let status = match open(context).await {
        Ok(buffer) => buffer.offline_status(context.config.sync.interval, now).await.map_err(failed),
        Err(fault) => Err(fault),
    };
    // Also a store that cannot be used has a status.
    let status = status.unwrap_or_else(|fault| Status::broken(&fault.text, false));
    Ok(if is_elsewhere(context, &status) { signed_out_by_settings(status) } else { status })
}

/// The settings name another backend than the account's, as far as they can be read.
fn is_elsewhere(context: &Context, status: &Status) -> bool {
    context.mistake.is_none()
        && status
            .account
            .as_ref()
            .is_some_and(|account| account.backend != context.config.backend.url.as_str())
}

/// As the agent will say it when it runs.
fn signed_out_by_settings(mut status: Status) -> Status {
    let first = status.reason.take().map(|text| Said {
        code: status.reason_code.take().unwrap_or_default(),
        args: std::mem::take(&mut status.reason_args),
        text,
    });
    let other = Said::new(
        "other_backend",
        "The settings name another backend: sign in there. Records are kept safely here.",
    );
    let also = std::mem::take(&mut status.also);
    status.say(std::iter::once(other).chain(first).chain(also));
    if status.state != State::BufferProblem {
        status.state = State::SessionExpired;
    }
    status
}

pub async fn open(context: &Context) -> Result<Buffer, Fault> {
    heyho_local::paths::private_dir(&context.paths.data)
        .map_err(|e| Fault::new(FaultCode::Failed, format!("{}: {e}", context.paths.data.display())))?;
    let buffer = Buffer::open(&context.paths.buffer()).await.map_err(failed)?;
    Ok(buffer.with_cap(context.config.buffer_max_bytes))
}

pub fn failed(error: heyho_buffer::BufferError) -> Fault {
    Fault::new(FaultCode::Failed, error.to_string())
}

pub async fn sync(context: &Context, wait: bool) -> Result<ExitCode, Fault> {
    let link = Link::join(context, false).await?;
    // An agent of our own would end with us: it has to be waited for.
    let wait = wait || link.is_agent();
    let result = if wait { sync_and_wait(context, &link).await } else { request(context, &link).await };
    link.end().await;
    result
}

async fn request(context: &Context, link: &Link) -> Result<ExitCode, Fault> {
    link.call(Request::Sync { wait: false }).await?;
    context.out.say(&serde_json::json!({ "requested": true }), |_| "Syncing.".to_owned())?;
    Ok(ExitCode::SUCCESS)
}

async fn sync_and_wait(context: &Context, link: &Link) -> Result<ExitCode, Fault> {
    let bar = progress::of_a_run();
    let drawing = tokio::spawn(draw(bar.clone(), link.companion.clone()));
    let summary = ask::<RunSummary>(link.companion.as_ref(), Request::Sync { wait: true }).await;
    drawing.abort();
    bar.finish_and_clear();
    let summary = summary?;
    context.out.say(&summary, |s| {
        let mut text =
            format!("{} sent, {} failed, {} waiting.", number(s.sent), number(s.failed), number(s.waiting));
        if let Some(why) = &s.why {
            text = format!("{text} {why}");
        }
        text
    })?;
    Ok(match summary.fault {
        Some(fault) => ExitCode::from(fault.exit_status()),
        None if summary.waiting > 0 || summary.failed > 0 => ExitCode::from(1),
        None => ExitCode::SUCCESS,
    })
}

async fn draw(bar: ProgressBar, companion: Arc<dyn Companion>) {
    if companion.call(Request::Subscribe).await.is_err() {
        return;
    }
    progress::draw(bar, companion.watch(), NOW_AND_THEN, |line| eprintln!("heyho: {line}")).await;
}

pub async fn pause(context: &Context, duration: Option<&str>) -> Result<ExitCode, Fault> {
    let seconds = duration
        .map(|text| {
            config::duration(text)
                .filter(|length| *length > Duration::ZERO)
                .map(|length| length.as_secs())
                .ok_or_else(|| {
                    Fault::new(FaultCode::Usage, format!("{text:?} is no duration; such as 30m, 1h or 2d"))
                })
        })
        .transpose()?;
    simple(context, Request::Pause { seconds }, "Paused. Records are still kept safely.").await
}

pub async fn resume(context: &Context) -> Result<ExitCode, Fault> {
    simple(context, Request::Resume, "Resumed.").await
}

pub async fn simple(context: &Context, request: Request, said: &str) -> Result<ExitCode, Fault> {
    let link = Link::join(context, false).await?;
    let result = link.call(request).await;
    link.end().await;
    result?;
    context.out.say(&serde_json::json!({ "done": true }), |_| said.to_owned())?;
    Ok(ExitCode::SUCCESS)
}

pub async fn agent(context: &Context) -> Result<ExitCode, Fault> {
    // As in the app, before anybody is answered.
    heyho_local::browsers::keep_registered(&context.config);
    let (options, started) = start(context, true).await?;
    if started.agent.is_none() {
        return Err(Fault::new(FaultCode::TryLater, "another companion is running already"));
    }
    // Like the app: it is mended by itself when its store is found damaged.
    let stayed = go_on_staying(options, started);
    tracing::info!("the agent is running");
    wait_for_the_end().await;
    stayed.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

#[cfg(unix)]
async fn wait_for_the_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_the_end() {
    let _ = tokio::signal::ctrl_c().await;
}
