//! `login`, `logout`, `verify`, `password.*`, `claim`, `backend.test`: who the records are for, and where they go.

use super::{Service, buffer};
use crate::account::{ask_backend, enter, fault};
use crate::engine::{Command, Signed};
use crate::live::SessionState;
use heyho_local::config::{self, Config};
use heyho_local::paths::by_name;
use heyho_local::vocabulary::{BackendTest, Count, Event, Fault, FaultCode, Login, SignedIn};
use heyho_records::status::Account;
use heyho_sync::base_url::BaseUrl;
use heyho_sync::driver::{Driver, DriverConfig, DriverError, ProxySetting};
use heyho_sync::policy::LOGOUT_PATIENCE;
use heyho_sync::secret::Secret;
use serde_json::Value;

impl Service {
    pub(super) async fn login(&self, login: Login) -> Result<SignedIn, Fault> {
        let _one = self.sessions.lock().await;
        let config = self.config_at(login.backend.as_deref())?;
        let driver = driver(&config, &self.device_id)?;
        let session = ask_backend(&driver, &login).await?;
        // The settings first: an account of a backend that the settings do not name would never be used.
        let backend_changed = config.backend.url != self.config().backend.url;
        if backend_changed {
            let url: Value = config.backend.url.as_str().into();
            self.changed(move |file| config::set(file, "backend.url", &url)).await?;
            self.config.send_replace(config.clone());
            self.live.push(Event::Settings);
        }
        let entered = enter(
            &self.buffer,
            &self.keeper,
            self.clock.as_ref(),
            config.backend.url.as_str(),
            &session,
            &login,
        )
        .await;
        // The settings name that backend by now: whoever sends hears of it also where nobody is signed in there.
        if backend_changed && entered.is_err() {
            self.tell(Command::Settings(Box::new(config.clone()))).await?;
            self.live.touch();
        }
        let (account, stored, claimed) = entered?;
        let signed = Signed { account: account.clone(), stored, driver };
        // It is over no longer, for whoever asks before the engine has heard of the new one.
        self.live.change(|live| {
            if live.session == SessionState::Expired {
                live.session = SessionState::Starting;
            }
        });
        self.tell(Command::Session(Box::new(Some(signed)))).await?;
        let totals = self.buffer.totals(Some(account.id), self.clock.now_ms()).await.map_err(buffer)?;
        Ok(SignedIn {
            account: Account { r#ref: account.r#ref, email: account.email, backend: account.backend },
            claimed,
            unclaimed: totals.unclaimed,
            note: self.keeper.note().map(|said| said.text),
        })
    }

    /// The settings in force, with the backend's address that was typed, if one was.
    fn config_at(&self, backend: Option<&str>) -> Result<Config, Fault> {
        let mut config = self.config();
        if let Some(url) = backend.map(str::trim).filter(|url| !url.is_empty()) {
            config.backend.url = BaseUrl::parse(url, config.backend.allow_http)
                .map_err(|e| Fault::new(FaultCode::Configuration, e.to_string()))?;
        }
        Ok(config)
    }

    pub(super) async fn logout(&self) -> Result<Value, Fault> {
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

    pub(super) async fn verify(
        &self,
        email: &str,
        code: String,
        backend: Option<&str>,
    ) -> Result<Value, Fault> {
        let driver = driver(&self.config_at(backend)?, &self.device_id)?;
        driver.verify_email(email, &Secret::new(code)).await.map_err(|e| fault(&e))?;
        Ok(Value::Null)
    }

    pub(super) async fn verify_resend(&self, email: &str, backend: Option<&str>) -> Result<Value, Fault> {
        let driver = driver(&self.config_at(backend)?, &self.device_id)?;
        driver.resend_verification(email).await.map_err(|e| fault(&e))?;
        Ok(Value::Null)
    }

    pub(super) async fn password_reset(&self, email: &str, backend: Option<&str>) -> Result<Value, Fault> {
        let driver = driver(&self.config_at(backend)?, &self.device_id)?;
        driver.request_password_reset(email).await.map_err(|e| fault(&e))?;
        Ok(Value::Null)
    }

    pub(super) async fn password_set(
        &self,
        email: &str,
        code: String,
        password: String,
        backend: Option<&str>,
    ) -> Result<Value, Fault> {
        let driver = driver(&self.config_at(backend)?, &self.device_id)?;
        let (code, password) = (Secret::new(code), Secret::new(password));
        driver.reset_password(email, &code, &password).await.map_err(|e| fault(&e))?;
        Ok(Value::Null)
    }

    /// Records of nobody become the signed-in account's, because the user says so.
    pub(super) async fn claim(&self) -> Result<Count, Fault> {
        let _one = self.sessions.lock().await;
        let Some(account) = self.buffer.signed_in().await.map_err(buffer)? else {
            return Err(Fault::new(FaultCode::SignInNeeded, "Nobody is signed in: sign in first."));
        };
        let count = self.buffer.claim(account.id).await.map_err(buffer)?;
        self.tell(Command::Nudge).await?;
        Ok(Count { count })
    }

    /// Tries an address before it is used. Whatever comes of it is an answer, not a fault.
    pub(super) async fn backend_test(&self, url: &str) -> BackendTest {
        let failed = |text: String| BackendTest { ok: false, text, features: Vec::new() };
        let mut config = self.config();
        config.backend.url = match BaseUrl::parse(url, config.backend.allow_http) {
            Ok(url) => url,
            Err(error) => return failed(error.to_string()),
        };
        let driver = match driver(&config, &self.device_id) {
            Ok(driver) => driver,
            Err(fault) => return failed(fault.text),
        };
        match driver.probe().await {
            Ok(features) if features.is_empty() => BackendTest {
                ok: true,
                text: "A backend answers there. It names no features: HeyHo Companion sends the plain way."
                    .to_owned(),
                features,
            },
            Ok(features) => {
                BackendTest { ok: true, text: "A HeyHo backend answers there.".to_owned(), features }
            }
            Err(why) => failed(why.sentence()),
        }
    }
}

/// A driver for the configured backend.
pub fn driver(config: &Config, device_id: &str) -> Result<Driver, Fault> {
    let bad = |error: DriverError| {
        // Said in the window too, which is told no path: the setting has the whole of it.
        let text = match &config.backend.ca_file {
            Some(file) => by_name(&error.to_string(), file),
            None => error.to_string(),
        };
        Fault::new(FaultCode::Configuration, text)
    };
    Driver::new(&DriverConfig {
        base_url: config.backend.url.clone(),
        ca_file: config.backend.ca_file.clone(),
        proxy: config.backend.proxy.clone().map_or(ProxySetting::System, ProxySetting::Url),
        device_id: device_id.to_owned(),
        user_agent: concat!("heyho-companion/", env!("CARGO_PKG_VERSION")).to_owned(),
    })
    .map_err(bad)
}
