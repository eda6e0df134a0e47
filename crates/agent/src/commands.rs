//! What is asked of the agent, and its answers. In-process and over the socket the same.
//!
//! Here is who answers; how is in the modules below, one for each part of the vocabulary.

mod counted;
mod diagnostics;
mod erasing;
mod records;
mod running;
mod session;
mod settings;

pub use counted::Counted;
pub use records::{shown, waiting_record};
pub use running::kept_pause;
pub use session::driver;

use crate::account::Keeper;
use crate::checkup::check_tokens;
use crate::engine::Command;
use crate::live::{Connected, Live};
use crate::publish::compose;
use heyho_buffer::{Buffer, BufferError};
use heyho_local::clock::Clock;
use heyho_local::config::Config;
use heyho_local::paths::Paths;
use heyho_local::vocabulary::{
    Answering, Attached, Companion, Event, Fault, FaultCode, Finding, Request, VERSION,
};
use heyho_records::status::Status;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, watch};

/// The agent, as everyone sees it.
pub struct Service {
    pub buffer: Buffer,
    pub keeper: Keeper,
    pub live: Arc<Live>,
    pub clock: Arc<dyn Clock>,
    pub paths: Paths,
    /// The settings in force; whoever publishes hears of changes.
    pub config: watch::Sender<Config>,
    pub device_id: String,
    pub commands: mpsc::Sender<Command>,
    pub status: watch::Receiver<Option<Status>>,
    /// Asks whoever has a window to show it; none in a headless agent.
    pub open: Option<mpsc::Sender<()>>,
    pub started: tokio::time::Instant,
    /// One sign-in or sign-out at a time: tokens and account change together. Settings too, since they name the
    /// backend.
    pub sessions: tokio::sync::Mutex<()>,
    /// What somebody was shown of what failed.
    pub counted: std::sync::Mutex<Counted>,
}

impl Companion for Service {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(self.answer(request))
    }

    fn watch(&self) -> watch::Receiver<Option<Status>> {
        self.status.clone()
    }

    fn events(&self) -> Option<broadcast::Receiver<Event>> {
        Some(self.live.events())
    }

    fn attach(&self, source: &str) -> Option<Attached> {
        Some(Box::new(Connected::new(self.live.clone(), source.to_owned())))
    }
}

impl Service {
    async fn answer(&self, request: Request) -> Result<Value, Fault> {
        match request {
            Request::Hello { .. } => json_of(&json!({ "version": VERSION, "program": "heyho-agent",
                "release": env!("CARGO_PKG_VERSION") })),
            Request::Status | Request::Subscribe => json_of(&self.status().await),
            // Counted where the connection is known: see `attach`.
            Request::Attach { .. } | Request::Told { .. } => Ok(Value::Null),
            Request::Nudge => self.tell(Command::Nudge).await,
            Request::Sync { wait } => self.sync(wait).await,
            Request::Stop => self.tell(Command::Stop).await,
            Request::Pause { seconds } => self.pause(seconds).await,
            Request::Resume => self.resume().await,
            Request::Login(login) => json_of(&self.login(login).await?),
            Request::Logout => self.logout().await,
            Request::Verify { email, code, backend } => self.verify(&email, code, backend.as_deref()).await,
            Request::VerifyResend { email, backend } => self.verify_resend(&email, backend.as_deref()).await,
            Request::PasswordReset { email, backend } => {
                self.password_reset(&email, backend.as_deref()).await
            }
            Request::PasswordSet { email, code, password, backend } => {
                self.password_set(&email, code, password, backend.as_deref()).await
            }
            Request::Claim => json_of(&self.claim().await?),
            Request::WaitingList { after, limit, search } => {
                json_of(&self.waiting_page(after, limit, search.as_deref()).await?)
            }
            Request::WaitingDiscard { which } => json_of(&self.waiting_discard(which).await?),
            Request::Delivered => json_of(&self.live.delivered()),
            Request::FailedList { after, limit, reason } => {
                json_of(&self.failed_page(after, limit, reason.as_deref()).await?)
            }
            Request::FailedShow { number } => json_of(&self.failed_show(number).await?),
            Request::FailedRetry { which } => json_of(&self.failed_retry(which).await?),
            Request::FailedDiscard { which, as_of } => json_of(&self.failed_discard(which, as_of).await?),
            Request::FailedKeep { which } => json_of(&self.failed_keep(which).await?),
            Request::History { limit } => json_of(&self.history(limit).await?),
            Request::Timeline => json_of(&self.timeline().await?),
            Request::ConfigGet => json_of(&self.config_get()),
            Request::ConfigSet { key, value } => json_of(&self.config_set(&key, &value).await?),
            Request::RulesAdd { rule } => json_of(&self.rules_add(&rule).await?),
            Request::RulesRemove { rule } => json_of(&self.rules_remove(&rule).await?),
            Request::BackendTest { url } => json_of(&self.backend_test(&url).await),
            Request::Export { path, failed, account, force } => {
                json_of(&self.export(&path, failed, account.as_deref(), force).await?)
            }
            Request::Forget { domain, backend } => json_of(&self.forget(&domain, backend).await?),
            Request::DiscardAccount { account } => json_of(&self.discard_account(&account).await?),
            Request::Erase => json_of(&self.erase().await?),
            Request::Diagnostics => json_of(&self.diagnostics().await),
            Request::Alerts => json_of(&self.live.alerts().await),
            Request::RecoverySeen => {
                self.buffer.recovery_seen().await.map_err(buffer)?;
                self.live.change(|live| live.recovered = None);
                Ok(Value::Null)
            }
            Request::Checkup => json_of(&self.checkup().await),
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
        self.config.borrow().clone()
    }

    async fn status(&self) -> Status {
        let interval = self.config.borrow().sync.interval;
        compose(&self.buffer, &self.live, self.clock.as_ref(), interval).await
    }

    async fn checkup(&self) -> Vec<Finding> {
        let wanted = self.config.borrow().tokens;
        let mut findings = vec![check_tokens(wanted, &self.paths).await];
        if let Some(note) = self.keeper.note() {
            let advice = "when the token store works again, sign in again: heyho login --email …";
            findings.push(Finding::bad("session", note.text, advice));
        }
        findings
    }

    async fn tell(&self, command: Command) -> Result<Value, Fault> {
        self.commands.send(command).await.map_err(|_| ending())?;
        Ok(Value::Null)
    }
}

fn json_of<T: Serialize>(value: &T) -> Result<Value, Fault> {
    serde_json::to_value(value)
        .map_err(|e| Fault::new(FaultCode::Failed, format!("no answer could be written: {e}")))
}

fn buffer(error: BufferError) -> Fault {
    let code = match error {
        BufferError::Busy => FaultCode::Busy,
        BufferError::Partly { .. } => FaultCode::Partly,
        _ => FaultCode::Failed,
    };
    Fault::new(code, format!("{error}."))
}

fn ending() -> Fault {
    Fault::new(FaultCode::AgentNotRunning, "the companion is ending; try again")
}
