//! Signing in and out: the order in which a session is stored, so that dying anywhere between leaves either
//! the old state or the new one, never rows under a wrong account.
//!
//! In: tokens into the store, then the account into the buffer. A store whose tokens name another account
//! than the buffer means that the session is over. Out: the account out of the buffer, the tokens out of the
//! store, and then the backend is told.

use crate::tokens::{KeptLogin, StoreError, Stored, TokenStore};
use heyho_buffer::{Account, Buffer, SignedIn};
use heyho_local::clock::Clock;
use heyho_local::vocabulary::{Fault, FaultCode, Login};
use heyho_records::fault::planted;
use heyho_records::status::Said;
use heyho_sync::auth_http::{AuthError, Registered, Registration, Session};
use heyho_sync::driver::Driver;
use heyho_sync::secret::Secret;
use heyho_sync::why::{Outlook, Stop, Why};
use std::sync::{Arc, Mutex, PoisonError};

/// The tokens, in the store that was asked for, and in memory always.
///
/// One write at a time, and each to its end, also when whoever asked for it is gone: the store never ends up
/// with an earlier session than memory.
#[derive(Debug, Clone)]
pub struct Keeper {
    /// Read and changed only while `kept` is held.
    store: Arc<Mutex<Arc<dyn TokenStore>>>,
    kept: Arc<tokio::sync::Mutex<Option<Stored>>>,
    problem: Arc<Mutex<Option<String>>>,
    /// Held while a session is renewed: a refresh token is spent by its use.
    renewing: Arc<tokio::sync::Mutex<()>>,
}

impl Keeper {
    pub fn new(store: Arc<dyn TokenStore>) -> Keeper {
        Keeper {
            store: Arc::new(Mutex::new(store)),
            kept: Arc::default(),
            problem: Arc::default(),
            renewing: Arc::default(),
        }
    }

    /// The session, if there is one, goes into this store, and then out of the one before.
    pub async fn move_to(&self, store: Arc<dyn TokenStore>) {
        // What is in the old store is read first: after a start it may not have been.
        let known = self.load().await.is_ok();
        let before = {
            let _kept = self.kept.lock().await;
            std::mem::replace(&mut *self.store.lock().unwrap_or_else(PoisonError::into_inner), store)
        };
        self.write(|kept| kept.is_some()).await;
        if known && self.problem().is_none() {
            let cleared = tokio::task::spawn_blocking(move || before.clear()).await;
            if !matches!(cleared, Ok(Ok(()))) {
                tracing::warn!("the old token store could not be emptied");
            }
        }
    }

    fn store(&self) -> Arc<dyn TokenStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let mut kept = self.kept.clone().lock_owned().await;
        if kept.is_some() {
            return Ok(kept.clone());
        }
        let store = self.store();
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

    /// One renewal at a time, whoever asks for it.
    pub async fn renewing(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.renewing.clone().lock_owned().await
    }

    /// What memory holds.
    pub async fn kept(&self) -> Option<Stored> {
        self.kept.lock().await.clone()
    }

    /// New tokens in place of those they were made from, and gives what the account has now. Where somebody has
    /// signed in meanwhile, the same account too, or nobody is signed in any more, they are dropped: tokens
    /// never come back.
    pub async fn renew(&self, before: &Stored, stored: Stored) -> Stored {
        let (before, renewed) = (before.clone(), stored.clone());
        self.write(move |kept| {
            let same = kept.as_ref().is_some_and(|kept| {
                kept.account_ref == before.account_ref
                    // The fault: the account alone says whose session it is.
                    && (planted("late-renewal-wins")
                        || (&kept.access_token, &kept.refresh_token)
                            == (&before.access_token, &before.refresh_token))
            });
            if same {
                *kept = Some(renewed);
            }
            // The fault: what a renewal brings is in memory only.
            same && !planted("renewal-unstored")
        })
        .await;
        let kept = self.kept().await;
        kept.filter(|kept| kept.account_ref == stored.account_ref).unwrap_or(stored)
    }

    /// Empties the store where nobody has signed in since the start.
    pub async fn clear_left_over(&self) {
        self.write(|kept| kept.is_none()).await;
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

    /// That, as it is said to people.
    pub fn note(&self) -> Option<Said> {
        self.problem().map(|problem| {
            let text = format!("You stay signed in only until this program ends: {problem}.");
            Said::new("tokens_in_memory", text).with("problem", problem)
        })
    }

    async fn write(&self, change: impl FnOnce(&mut Option<Stored>) -> bool + Send + 'static) {
        let (keeper, problem) = (self.clone(), self.problem.clone());
        let task = tokio::spawn(async move {
            let mut kept = keeper.kept.clone().lock_owned().await;
            let store = keeper.store();
            if !change(&mut kept) {
                return;
            }
            let now = kept.clone();
            let done = tokio::task::spawn_blocking(move || match now {
                Some(stored) => store.save(&stored),
                None => store.clear(),
            });
            let (failed, detail) = match done.await {
                Ok(Ok(())) => (None, String::new()),
                Ok(Err(e)) => (Some(e.plain()), e.to_string()),
                Err(_) => (Some("the token store stopped unexpectedly".to_owned()), String::new()),
            };
            let before = std::mem::replace(
                &mut *problem.lock().unwrap_or_else(PoisonError::into_inner),
                failed.clone(),
            );
            // Once, and not at each write.
            if let Some(failed) = failed.filter(|failed| before.as_ref() != Some(failed)) {
                tracing::warn!(detail, "{failed}; a session lasts until this program ends");
            }
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
            FaultCode::Unverified,
            "The account was made. Confirm its e-mail address by the message that was sent there, then sign in.",
        )),
        Err(error) => Err(fault(&error)),
    }
}

/// A failed sign-in as a fault of the vocabulary.
pub fn fault(error: &AuthError) -> Fault {
    let code = match error {
        AuthError::WrongCredentials => FaultCode::WrongCredentials,
        AuthError::EmailTaken => FaultCode::EmailTaken,
        AuthError::RegistrationClosed => FaultCode::RegistrationClosed,
        AuthError::Forbidden(_) => FaultCode::Failed,
        AuthError::Unverified => FaultCode::Unverified,
        AuthError::SessionOver | AuthError::NotRenewable => FaultCode::SignInNeeded,
        AuthError::WrongCode => FaultCode::BadData,
        AuthError::NotHere | AuthError::NoMail => FaultCode::NotOffered,
        AuthError::NamesNeeded | AuthError::Invalid { .. } => FaultCode::BadData,
        AuthError::NotNow(why, _) => return Fault::new(why_code(why), why.sentence()),
    };
    Fault::new(code, error.to_string())
}

/// How a command line ends that met this.
pub fn why_code(why: &Why) -> FaultCode {
    match why {
        Why::RateLimited | Why::AskedToWait | Why::NotYet | Why::StillWorking => FaultCode::TryLater,
        Why::Stopped { by: Stop::BufferBusy } => FaultCode::TryLater,
        Why::Stopped { .. } | Why::Internal => FaultCode::Failed,
        _ => match why.outlook() {
            Outlook::SessionExpired => FaultCode::SignInNeeded,
            Outlook::NeedsAttention => FaultCode::Configuration,
            Outlook::Good | Outlook::Stopped | Outlook::Retrying => FaultCode::BackendUnreachable,
        },
    }
}

/// Stores a session: tokens first, then the account. Says how many records it claimed too.
pub async fn enter(
    buffer: &Buffer,
    keeper: &Keeper,
    clock: &dyn Clock,
    backend: &str,
    session: &Session,
    login: &Login,
) -> Result<(Account, Stored, u64), Fault> {
    let now = clock.now_ms();
    let who = SignedIn {
        backend: backend.to_owned(),
        user_id: session.user.id.clone(),
        email: session.user.email.clone().unwrap_or_else(|| login.email.clone()),
        claim_others: login.claim == Some(true),
    };
    let stored = Stored {
        account_ref: who.account_ref(),
        access_token: session.access_token.clone(),
        refresh_token: session.refresh_token.clone(),
        expires_at: session.expires_in.map(|length| ends_at(now, length)),
        kept_login: (login.keep_password == Some(true))
            .then(|| KeptLogin { email: login.email.clone(), password: Secret::new(login.password.clone()) }),
    };
    // Before the tokens: a sign-in that an erasure is in the way of leaves who is signed in as it was.
    buffer.finish_erasures().await.map_err(|e| {
        Fault::new(FaultCode::Failed, format!("An erasure has to be finished before anybody signs in: {e}"))
    })?;
    keeper.save(stored.clone()).await;
    let (account, claimed) = buffer
        .sign_in(&who, now)
        .await
        .map_err(|e| Fault::new(FaultCode::Failed, format!("The sign-in could not be stored: {e}")))?;
    tracing::info!(claimed, "signed in");
    Ok((account, stored, claimed))
}

pub(crate) fn ends_at(now: i64, length: std::time::Duration) -> i64 {
    now.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::FileStore;

    #[tokio::test]
    async fn a_renewal_that_comes_late_does_not_replace_a_new_sign_in_of_the_same_account() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path().join("tokens.json"));
        let of = |access: &str, refresh: &str| Stored {
            account_ref: "r".into(),
            access_token: Secret::new(access),
            refresh_token: Some(Secret::new(refresh)),
            expires_at: None,
            kept_login: None,
        };
        let keeper = Keeper::new(Arc::new(FileStore::new(dir.path().join("tokens.json"))));
        let (first, renewed, again) = (of("1", "a"), of("2", "b"), of("3", "c"));
        keeper.save(first.clone()).await;
        // It is asked for with the first one's; before its answer is here, somebody signs in.
        keeper.save(again.clone()).await;
        assert_eq!(keeper.renew(&first, renewed).await, again);
        assert_eq!((keeper.kept().await, store.load().unwrap()), (Some(again.clone()), Some(again.clone())));
        let renewed = of("4", "d");
        assert_eq!(keeper.renew(&again, renewed.clone()).await, renewed);
        assert_eq!(store.load().unwrap(), Some(renewed.clone()));
        // Signed out meanwhile: nothing comes back.
        keeper.clear().await;
        keeper.renew(&renewed, of("5", "e")).await;
        assert_eq!((keeper.kept().await, store.load().unwrap()), (None, None));
    }

    #[derive(Debug)]
    struct NoKeyring;

    impl TokenStore for NoKeyring {
        fn load(&self) -> Result<Option<Stored>, StoreError> {
            Err(StoreError::Keyring("Platform failure: zbus error: (os error 2)".to_owned()))
        }

        fn save(&self, _: &Stored) -> Result<(), StoreError> {
            self.load().map(drop)
        }

        fn clear(&self) -> Result<(), StoreError> {
            self.load().map(drop)
        }

        fn probe(&self) -> Result<(), StoreError> {
            self.load().map(drop)
        }
    }

    #[tokio::test]
    async fn without_a_keyring_it_is_said_in_plain_words_how_long_the_session_lasts() {
        let keeper = Keeper::new(Arc::new(NoKeyring));
        keeper
            .save(Stored {
                account_ref: "r".into(),
                access_token: Secret::new("a"),
                refresh_token: None,
                expires_at: None,
                kept_login: None,
            })
            .await;
        assert_eq!(
            keeper.note().unwrap().text,
            "You stay signed in only until this program ends: this computer has no keyring that can be used, or it is locked."
        );
        assert!(keeper.load().await.unwrap().is_some(), "it is in memory");
    }

    #[tokio::test]
    async fn a_session_moves_into_another_store_and_out_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let stored = Stored {
            account_ref: "r".into(),
            access_token: Secret::new("a"),
            refresh_token: None,
            expires_at: None,
            kept_login: None,
        };
        let (old, new) = (dir.path().join("old.json"), dir.path().join("new.json"));
        FileStore::new(old.clone()).save(&stored).unwrap();
        // After a start nothing was read yet.
        let keeper = Keeper::new(Arc::new(FileStore::new(old.clone())));
        keeper.move_to(Arc::new(FileStore::new(new.clone()))).await;
        assert_eq!(FileStore::new(new.clone()).load().unwrap(), Some(stored.clone()));
        assert!(!old.exists());

        std::fs::write(dir.path().join("file"), "").unwrap();
        let unusable = FileStore::new(dir.path().join("file/tokens.json"));
        keeper.move_to(Arc::new(unusable)).await;
        assert!(keeper.note().is_some_and(|note| note.code == "tokens_in_memory"));
        assert!(new.exists(), "what could not be moved stays where it is");
        assert_eq!(keeper.load().await.unwrap(), Some(stored));
    }
}
