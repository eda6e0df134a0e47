//! The tokens of one account during a run: refreshed when it is time, by one caller at a time.
//!
//! A refresh token is spent by its use. If we die before the new one is stored, the backend's grace for the
//! immediately previous one lets the next start refresh again.
//!
//! Where the backend cannot renew a session (HeyHo's service ends each after an hour), the user may have asked
//! to keep the password: then it is signed in again silently, as the same user or not at all.

use crate::account::{Keeper, ends_at};
use crate::tokens::Stored;
use heyho_buffer::SignedIn;
use heyho_local::clock::Clock;
use heyho_sync::auth_http::{AuthError, Tokens};
use heyho_sync::driver::Driver;
use heyho_sync::secret::Secret;
use heyho_sync::why::Why;
use std::sync::Arc;

/// Before an access token ends it is refreshed this much earlier, so that it does not end on the way.
const REFRESH_EARLY_MS: i64 = 30_000;

#[derive(Debug)]
pub struct Tokenholder {
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    stored: Stored,
    short_session: bool,
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
        Tokenholder { keeper, clock, stored, short_session: false }
    }

    /// The access token, refreshed before it ends. Where that fails the old one is given: the backend's
    /// answer to it decides.
    pub async fn access(&mut self, driver: &Driver) -> Secret {
        let ends_soon = self.stored.expires_at.is_some_and(|at| at - REFRESH_EARLY_MS <= self.clock.now_ms());
        if ends_soon && (self.stored.refresh_token.is_some() || self.stored.kept_login.is_some()) {
            self.refresh(driver).await;
        }
        self.stored.access_token.clone()
    }

    pub async fn refresh(&mut self, driver: &Driver) -> Refresh {
        let _one = self.keeper.renewing().await;
        // Somebody else (a request beside the run) has renewed it meanwhile: our refresh token is spent.
        if let Some(kept) = self.keeper.kept().await
            && kept.account_ref == self.stored.account_ref
            && kept.access_token != self.stored.access_token
        {
            self.stored = kept;
            return Refresh::Done;
        }
        let renewed = match self.stored.refresh_token.clone() {
            Some(token) => driver.refresh(&token).await,
            None => Err(AuthError::NotRenewable),
        };
        match renewed {
            Ok(tokens) => self.renew(tokens).await,
            Err(AuthError::NotNow(why)) => Refresh::NotNow(why),
            Err(error) => {
                self.short_session |= error == AuthError::NotRenewable;
                self.sign_in_again(driver).await
            }
        }
    }

    /// The backend has no way to renew a session.
    pub fn is_short_session(&self) -> bool {
        self.short_session
    }

    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    async fn renew(&mut self, tokens: Tokens) -> Refresh {
        let Tokens { access_token, refresh_token, expires_in } = tokens;
        self.stored.access_token = access_token;
        self.stored.refresh_token = refresh_token.or(self.stored.refresh_token.take());
        self.stored.expires_at = expires_in.map(|length| ends_at(self.clock.now_ms(), length));
        self.keeper.renew(self.stored.clone()).await;
        Refresh::Done
    }

    async fn sign_in_again(&mut self, driver: &Driver) -> Refresh {
        let Some(kept) = self.stored.kept_login.clone() else { return Refresh::SessionOver };
        let session = match driver.login(&kept.email, &kept.password).await {
            Ok(session) => session,
            Err(AuthError::NotNow(why)) => return Refresh::NotNow(why),
            Err(error) => {
                tracing::info!("the kept password does not sign in any more: {error}");
                return self.forget_login().await;
            }
        };
        let who = SignedIn {
            backend: driver.base_url().as_str().to_owned(),
            user_id: session.user.id,
            email: kept.email,
            claim_others: false,
        };
        if who.account_ref() != self.stored.account_ref {
            tracing::warn!("the kept password signs in another user: it is not used");
            return self.forget_login().await;
        }
        let tokens = Tokens {
            access_token: session.access_token,
            refresh_token: session.refresh_token,
            expires_in: session.expires_in,
        };
        self.renew(tokens).await
    }

    async fn forget_login(&mut self) -> Refresh {
        self.stored.kept_login = None;
        self.keeper.renew(self.stored.clone()).await;
        Refresh::SessionOver
    }
}
