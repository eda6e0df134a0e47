//! Signing in and out: the order in which a session is stored, so that dying anywhere between leaves either
//! the old state or the new one, never rows under a wrong account.
//!
//! In: tokens into the store, then the account into the buffer. A store whose tokens name another account
//! than the buffer means that the session is over. Out: the account out of the buffer, the tokens out of the
//! store, and then the backend is told.

use crate::tokens::{StoreError, Stored, TokenStore};
use heyho_buffer::{Account, Buffer, SignedIn};
use heyho_local::clock::Clock;
use heyho_local::vocabulary::{Fault, FaultCode, Login};
use heyho_sync::auth_http::{AuthError, Registered, Registration, Session, Tokens};
use heyho_sync::driver::Driver;
use heyho_sync::secret::Secret;
use heyho_sync::why::{Outlook, Why};
use std::sync::{Arc, Mutex, PoisonError};

/// Before an access token ends it is refreshed this much earlier, so that it does not end on the way.
const REFRESH_EARLY_MS: i64 = 30_000;

/// The tokens, in the store that was asked for, and in memory always.
///
/// One write at a time, and each to its end, also when whoever asked for it is gone: the store never ends up
/// with an earlier session than memory.
#[derive(Debug, Clone)]
pub struct Keeper {
    store: Arc<dyn TokenStore>,
    kept: Arc<tokio::sync::Mutex<Option<Stored>>>,
    problem: Arc<Mutex<Option<String>>>,
}

impl Keeper {
    pub fn new(store: Arc<dyn TokenStore>) -> Keeper {
        Keeper { store, kept: Arc::default(), problem: Arc::default() }
    }

    pub async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let mut kept = self.kept.clone().lock_owned().await;
        if kept.is_some() {
            return Ok(kept.clone());
        }
        let store = self.store.clone();
        let loaded = tokio::task::spawn_blocking(move || store.load())
            .await
            .unwrap_or_else(|_| Err(StoreError::Keyring("it stopped unexpectedly".to_owned())))?;
        kept.clone_from(&loaded);
        Ok(loaded)
    }

    /// A new session in place of whatever there was.
    pub async fn save(&self, stored: Stored) {
        self.write(move |kept| {
            *kept = Some(stored);
            true
        })
        .await;
    }

    /// New tokens of the same session. Where another account has signed in meanwhile, or nobody is signed in
    /// any more, they are dropped: tokens never come back.
    pub async fn renew(&self, stored: Stored) {
        self.write(move |kept| {
            let same = kept.as_ref().is_some_and(|kept| kept.account_ref == stored.account_ref);
            if same {
                *kept = Some(stored);
            }
            same
        })
        .await;
    }

    pub async fn clear(&self) {
        self.write(|kept| {
            *kept = None;
            true
        })
        .await;
    }

    /// Why tokens are kept in memory only.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn write(&self, change: impl FnOnce(&mut Option<Stored>) -> bool + Send + 'static) {
        let (kept, store, problem) = (self.kept.clone(), self.store.clone(), self.problem.clone());
        let task = tokio::spawn(async move {
            let mut kept = kept.lock_owned().await;
            if !change(&mut kept) {
                return;
            }
            let now = kept.clone();
            let done = tokio::task::spawn_blocking(move || match now {
                Some(stored) => store.save(&stored),
                None => store.clear(),
            });
            let failed = match done.await {
                Ok(Ok(())) => None,
                Ok(Err(e)) => Some(e.to_string()),
                Err(_) => Some("the token store stopped unexpectedly".to_owned()),
            };
            if let Some(failed) = &failed {
                tracing::warn!("{failed}; the session lasts until this program ends");
            }
            *problem.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        });
        let _ = task.await;
    }
}

/// Asks the backend, and gives the session.
pub async fn ask_backend(driver: &Driver, login: &Login) -> Result<Session, Fault> {
    let password = Secret::new(login.password.clone());
    let asked = if login.register {
        let registration = Registration {
            email: &login.email,
            password: &password,
            first_name: login.first_name.as_deref(),
            last_name: login.last_name.as_deref(),
        };
        driver.register(&registration).await
    } else {
        driver.login(&login.email, &password).await.map(Registered::SignedIn)
    };
    match asked {
        Ok(Registered::SignedIn(session)) => Ok(session),
        Ok(Registered::VerifyFirst) => Err(Fault::new(
            FaultCode::SignInNeeded,
            "The account was made. Follow the message that was sent to its address, then sign in.",
        )),
        Err(error) => Err(fault(&error)),
    }
}

/// A failed sign-in as a fault of the vocabulary.
pub fn fault(error: &AuthError) -> Fault {
    let code = match error {
        AuthError::WrongCredentials => FaultCode::WrongCredentials,
        AuthError::EmailTaken => FaultCode::EmailTaken,
        AuthError::Unverified | AuthError::SessionOver => FaultCode::SignInNeeded,
        AuthError::NamesNeeded => FaultCode::Usage,
        AuthError::Invalid { .. } => FaultCode::BadData,
        AuthError::NotNow(why) => return Fault::new(why_code(why), why.sentence()),
    };
    Fault::new(code, error.to_string())
}

/// How a command line ends that met this.
pub fn why_code(why: &Why) -> FaultCode {
    match why {
        Why::RateLimited | Why::AskedToWait | Why::NotYet | Why::StillWorking => FaultCode::TryLater,
        Why::Stopped { .. } | Why::Internal => FaultCode::Failed,
        _ => match why.outlook() {
            Outlook::SessionExpired => FaultCode::SignInNeeded,
            Outlook::NeedsAttention => FaultCode::Configuration,
            Outlook::Good | Outlook::Stopped | Outlook::Retrying => FaultCode::BackendUnreachable,
        },
    }
}

/// Stores a session: tokens first, then the account.
pub async fn enter(
    buffer: &Buffer,
    keeper: &Keeper,
    clock: &dyn Clock,
    backend: &str,
    session: &Session,
    claim_others: bool,
    typed_email: &str,
) -> Result<(Account, Stored), Fault> {
    let now = clock.now_ms();
    let who = SignedIn {
        backend: backend.to_owned(),
        user_id: session.user.id.clone(),
        email: session.user.email.clone().unwrap_or_else(|| typed_email.to_owned()),
        claim_others,
    };
    let stored = Stored {
        account_ref: who.account_ref(),
        access_token: session.access_token.clone(),
        refresh_token: session.refresh_token.clone(),
        expires_at: session.expires_in.map(|length| ends_at(now, length)),
    };
    keeper.save(stored.clone()).await;
    let (account, claimed) = buffer
        .sign_in(&who, now)
        .await
        .map_err(|e| Fault::new(FaultCode::Failed, format!("The sign-in could not be stored: {e}")))?;
    tracing::info!(claimed, "signed in");
    Ok((account, stored))
}

fn ends_at(now: i64, length: std::time::Duration) -> i64 {
    now.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
}

/// The tokens of one account, refreshed when it is time.
#[derive(Debug)]
pub struct Tokenholder {
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    stored: Stored,
}

/// What a refresh came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Refresh {
    Done,
    SessionOver,
    NotNow(Why),
}

impl Tokenholder {
    pub fn new(keeper: Keeper, clock: Arc<dyn Clock>, stored: Stored) -> Tokenholder {
        Tokenholder { keeper, clock, stored }
    }

    /// The access token, refreshed before it ends. Where that fails the old one is given: the backend's
    /// answer to it decides.
    pub async fn access(&mut self, driver: &Driver) -> Secret {
        let ends_soon = self.stored.expires_at.is_some_and(|at| at - REFRESH_EARLY_MS <= self.clock.now_ms());
        if ends_soon && self.stored.refresh_token.is_some() {
            self.refresh(driver).await;
        }
        self.stored.access_token.clone()
    }

    pub async fn refresh(&mut self, driver: &Driver) -> Refresh {
        let Some(refresh_token) = self.stored.refresh_token.clone() else { return Refresh::SessionOver };
        match driver.refresh(&refresh_token).await {
            Ok(Tokens { access_token, refresh_token: next, expires_in }) => {
                let now = self.clock.now_ms();
                self.stored.access_token = access_token;
                self.stored.refresh_token = next.or(Some(refresh_token));
                self.stored.expires_at = expires_in.map(|length| ends_at(now, length));
                // The old one is spent. If we die before this is stored, the backend's grace for the
                // immediately previous token lets the next start refresh again.
                self.keeper.renew(self.stored.clone()).await;
                Refresh::Done
            }
            Err(AuthError::NotNow(why)) => Refresh::NotNow(why),
            Err(_) => Refresh::SessionOver,
        }
    }

    pub fn stored(&self) -> &Stored {
        &self.stored
    }
}
