//! What is asked of the agent, and its answers. In-process and over the socket the same.

use crate::account::{Keeper, ask_backend, enter};
use crate::engine::{Command, Signed};
use crate::live::{Connected, Live, Pause};
use crate::publish::compose;
use heyho_buffer::{Buffer, BufferError, Failed, FailedQuery};
use heyho_local::clock::Clock;
use heyho_local::config::{self, Config};
use heyho_local::paths::Paths;
use heyho_local::vocabulary::{
    Answering, Attached, Companion, Count, FailedPage, FailedRecord, Fault, FaultCode, Login, ReasonCount,
    Request, Run, RunSummary, Selection, VERSION,
};
use heyho_records::json::Json;
use heyho_records::status::{Account, Status};
use heyho_records::time::timestamp;
use heyho_sync::base_url::BaseUrl;
use heyho_sync::driver::{Driver, DriverConfig, ProxySetting};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// How long a sign-out waits for the backend to hear of it.
const LOGOUT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
/// In `meta`, for a pause without an end.
const UNTIL_RESUMED: &str = "resumed";

/// The agent, as everyone sees it.
pub struct Service {
    pub buffer: Buffer,
    pub keeper: Keeper,
    pub live: Arc<Live>,
    pub clock: Arc<dyn Clock>,
    pub paths: Paths,
    pub config: Mutex<Config>,
    pub device_id: String,
    pub commands: mpsc::Sender<Command>,
    pub status: watch::Receiver<Option<Status>>,
    /// Asks whoever has a window to show it; none in a headless agent.
    pub open: Option<mpsc::Sender<()>>,
    /// One sign-in or sign-out at a time: tokens and account change together.
    pub sessions: tokio::sync::Mutex<()>,
}

impl Companion for Service {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(self.answer(request))
    }

    fn watch(&self) -> watch::Receiver<Option<Status>> {
        self.status.clone()
    }

    fn attach(&self, source: &str) -> Option<Attached> {
        Some(Box::new(Connected::new(self.live.clone(), source.to_owned())))
    }
}

impl Service {
    async fn answer(&self, request: Request) -> Result<Value, Fault> {
        match request {
            Request::Hello { .. } => json_of(&json!({ "version": VERSION, "program": "heyho-agent" })),
            Request::Status | Request::Subscribe => {
                let interval = self.config().sync.interval;
                json_of(&compose(&self.buffer, &self.live, self.clock.as_ref(), interval).await)
            }
            // Counted where the connection is known: see `attach`.
            Request::Attach { .. } => Ok(Value::Null),
            Request::Nudge => self.tell(Command::Nudge).await,
            Request::Sync { wait } => self.sync(wait).await,
            Request::Stop => self.tell(Command::Stop).await,
            Request::Pause { seconds } => self.pause(seconds).await,
            Request::Resume => self.resume().await,
            Request::Login(login) => json_of(&self.login(login).await?),
            Request::Logout => self.logout().await,
            Request::FailedList { after, limit, reason } => {
                json_of(&self.failed_page(after, limit, reason.as_deref()).await?)
            }
            Request::FailedShow { number } => match self.buffer.failed_one(number).await.map_err(buffer)? {
                Some(failed) => json_of(&shown(failed, true)),
                None => Err(Fault::new(FaultCode::NotFound, format!("there is no failed record {number}"))),
            },
            Request::FailedRetry { which } => {
                let count = self.buffer.retry_failed(&query(which)).await.map_err(buffer)?;
                self.live.touch();
                // Whoever presses Retry wants it tried now; where that cannot be, it waits its turn.
                let _ = self.sync(false).await;
                json_of(&Count { count })
            }
            Request::FailedDiscard { which } => {
                let count = self.buffer.discard_failed(&query(which)).await.map_err(buffer)?;
                self.live.touch();
                json_of(&Count { count })
            }
            Request::FailedKeep { which } => {
                let count = self.buffer.keep_failed(&query(which)).await.map_err(buffer)?;
                self.live.touch();
                json_of(&Count { count })
            }
            Request::History { limit } => json_of(&self.history(limit).await?),
            Request::Open => match &self.open {
                Some(open) => {
                    open.send(()).await.map_err(|_| ending())?;
                    Ok(Value::Null)
                }
                None => {
                    Err(Fault::new(FaultCode::NoWindow, "the companion that is running here has no window"))
                }
            },
        }
    }

    pub fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn tell(&self, command: Command) -> Result<Value, Fault> {
        self.commands.send(command).await.map_err(|_| ending())?;
        Ok(Value::Null)
    }

    async fn sync(&self, wait: bool) -> Result<Value, Fault> {
        let live = self.live.read();
        if let Some(pause) = live.paused {
            let until = match pause {
                Pause::Until(at) => format!("until {at}"),
                Pause::UntilResumed => "until you resume it".to_owned(),
            };
            return Err(Fault::new(FaultCode::TryLater, format!("Syncing is paused {until}.")));
        }
        if self.buffer.signed_in().await.map_err(buffer)?.is_none() {
            return Err(Fault::new(FaultCode::SignInNeeded, "Nobody is signed in: sign in first."));
        }
        if live.session == crate::live::SessionState::Expired {
            return Err(Fault::new(FaultCode::SignInNeeded, "The session has ended: sign in again."));
        }
        if !wait {
            return self.tell(Command::Sync { done: None }).await;
        }
        let (done, summary) = oneshot::channel::<RunSummary>();
        self.tell(Command::Sync { done: Some(done) }).await?;
        json_of(&summary.await.map_err(|_| ending())?)
    }

    async fn pause(&self, seconds: Option<u64>) -> Result<Value, Fault> {
        let pause = match seconds {
            None => Pause::UntilResumed,
            Some(seconds) => {
                let length = i64::try_from(seconds).ok().map(SignedDuration::from_secs);
                let until = length.and_then(|length| self.clock.now().checked_add(length).ok());
                Pause::Until(until.ok_or_else(|| Fault::new(FaultCode::Usage, "that is too long a pause"))?)
            }
        };
        let kept = match pause {
            Pause::UntilResumed => UNTIL_RESUMED.to_owned(),
            Pause::Until(at) => at.as_millisecond().to_string(),
        };
        self.buffer.set_meta(heyho_buffer::PAUSED_UNTIL, &kept).await.map_err(buffer)?;
        self.live.change(|live| live.paused = Some(pause));
        self.tell(Command::PauseChanged).await
    }

    async fn resume(&self) -> Result<Value, Fault> {
        self.buffer.set_meta(heyho_buffer::PAUSED_UNTIL, "0").await.map_err(buffer)?;
        self.live.change(|live| live.paused = None);
        self.tell(Command::PauseChanged).await
    }

    async fn login(&self, login: Login) -> Result<Account, Fault> {
        let _one = self.sessions.lock().await;
        let mut config = self.config();
        if let Some(url) = login.backend.as_deref().map(str::trim).filter(|url| !url.is_empty()) {
            config.backend.url = BaseUrl::parse(url, config.backend.allow_http)
                .map_err(|e| Fault::new(FaultCode::Configuration, e.to_string()))?;
        }
        let driver = driver(&config, &self.device_id)?;
        let session = ask_backend(&driver, &login).await?;
        // The settings first: an account of a backend that the settings do not name would never be used.
        let backend_changed = config.backend.url != self.config().backend.url;
        if backend_changed {
            config::set(&self.paths.config_file(), "backend.url", config.backend.url.as_str().into())
                .map_err(|e| Fault::new(FaultCode::Configuration, e.to_string()))?;
            *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config.clone();
        }
        let (account, stored) = enter(
            &self.buffer,
            &self.keeper,
            self.clock.as_ref(),
            config.backend.url.as_str(),
            &session,
            login.claim == Some(true),
            &login.email,
        )
        .await?;
        let signed = Signed { account: account.clone(), stored, driver };
        self.tell(Command::Session(Box::new(Some(signed)))).await?;
        Ok(Account { r#ref: account.r#ref, email: account.email, backend: account.backend })
    }

    async fn logout(&self) -> Result<Value, Fault> {
        let _one = self.sessions.lock().await;
        let stored = self.keeper.load().await.ok().flatten();
        self.buffer.sign_out().await.map_err(buffer)?;
        self.keeper.clear().await;
        self.tell(Command::Session(Box::new(None))).await?;
        // The backend is told last, and not waited for long: signed out here is signed out, also without a
        // network.
        if let (Some(stored), Ok(driver)) = (stored, driver(&self.config(), &self.device_id)) {
            let telling = driver.logout(&stored.access_token, stored.refresh_token.as_ref());
            if !matches!(tokio::time::timeout(LOGOUT_PATIENCE, telling).await, Ok(Ok(()))) {
                tracing::info!("the backend could not be told of the sign-out; its session ends by itself");
            }
        }
        Ok(Value::Null)
    }

    async fn failed_page(&self, after: i64, limit: u32, reason: Option<&str>) -> Result<FailedPage, Fault> {
        let records = self.buffer.failed(after, limit.min(1_000), reason).await.map_err(buffer)?;
        let reasons: Vec<ReasonCount> = self
            .buffer
            .failed_by_reason()
            .await
            .map_err(buffer)?
            .into_iter()
            .map(|(code, count)| ReasonCount { code, count })
            .collect();
        let total =
            reasons.iter().filter(|r| reason.is_none_or(|code| r.code == code)).map(|r| r.count).sum();
        Ok(FailedPage { records: records.into_iter().map(|f| shown(f, false)).collect(), total, reasons })
    }

    async fn history(&self, limit: u32) -> Result<Vec<Run>, Fault> {
        let Some(account) = self.buffer.signed_in().await.map_err(buffer)? else { return Ok(Vec::new()) };
        let runs = self.buffer.runs(account.id, limit.min(1_000)).await.map_err(buffer)?;
        Ok(runs
            .into_iter()
            .map(|run| Run {
                started_at: timestamp(run.started_at),
                ended_at: run.ended_at.map(timestamp),
                batches: run.batches,
                sent: run.sent,
                failed: run.failed,
                outcome: run.outcome,
                why: run.why,
            })
            .collect())
    }
}

/// What was paused before the last end of the program.
pub fn kept_pause(kept: Option<&str>, now: Timestamp) -> Option<Pause> {
    match kept? {
        UNTIL_RESUMED => Some(Pause::UntilResumed),
        ms => ms.parse().ok().map(timestamp).filter(|at| *at > now).map(Pause::Until),
    }
}

/// A driver for the configured backend.
pub fn driver(config: &Config, device_id: &str) -> Result<Driver, Fault> {
    let bad = |e: &dyn std::fmt::Display| Fault::new(FaultCode::Configuration, e.to_string());
    Driver::new(&DriverConfig {
        base_url: config.backend.url.clone(),
        ca_file: config.backend.ca_file.clone(),
        proxy: config.backend.proxy.clone().map_or(ProxySetting::System, ProxySetting::Url),
        device_id: device_id.to_owned(),
        user_agent: concat!("heyho-companion/", env!("CARGO_PKG_VERSION")).to_owned(),
    })
    .map_err(|e| bad(&e))
}

fn query(which: Selection) -> FailedQuery {
    match which {
        Selection::Ids(numbers) => FailedQuery::Numbers(numbers),
        Selection::Reason(code) => FailedQuery::Reason(code),
        Selection::All => FailedQuery::All,
    }
}

/// A failed record, as lists show it; with its text where it is asked for alone.
pub fn shown(failed: Failed, whole: bool) -> FailedRecord {
    let tree = Json::parse(&failed.text).ok();
    let text_of =
        |name: &str| tree.as_ref().and_then(|t| t.get(name)).and_then(Json::as_str).map(str::to_owned);
    let host = text_of("url").or_else(|| text_of("currentUrl")).and_then(|url| host_of(&url));
    FailedRecord {
        number: failed.seq,
        kind: failed.kind,
        id: text_of("id").or_else(|| text_of("visitId")).unwrap_or(failed.id),
        title: text_of("title"),
        host: host.or_else(|| text_of("currentDomain")),
        text: failed.reason.text(),
        reason: failed.reason,
        first_at: timestamp(failed.first_at),
        last_at: timestamp(failed.last_at),
        attempts: failed.attempts,
        kept: failed.kept,
        account: failed.email,
        record: whole.then_some(failed.text),
    }
}

/// The host of an address, as far as it has one: for showing, so nothing is refused here.
fn host_of(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then(|| host.to_owned())
}

fn json_of<T: Serialize>(value: &T) -> Result<Value, Fault> {
    serde_json::to_value(value)
        .map_err(|e| Fault::new(FaultCode::Failed, format!("no answer could be written: {e}")))
}

fn buffer(error: BufferError) -> Fault {
    let code = match error {
        BufferError::Busy => FaultCode::TryLater,
        _ => FaultCode::Failed,
    };
    Fault::new(code, format!("{error}."))
}

fn ending() -> Fault {
    Fault::new(FaultCode::AgentNotRunning, "the companion is ending; try again")
}
