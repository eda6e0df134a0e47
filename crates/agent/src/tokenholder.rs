//! The tokens of one account during a run: refreshed when it is time, by one caller at a time.
//!
//! A refresh token is spent by its use. So once asked for, a renewal goes on to its end in a task of its own, also
//! when the run that asked for it is over; what it brings is stored only in place of the very tokens that it was
//! made from, never over those of a new sign-in. If we die before the new one is stored, the backend's grace for
//! the immediately previous one lets the next start refresh again.
//!
//! Where the backend cannot renew a session (HeyHo's service ends each after an hour), the user may have asked
//! to keep the password: then it is signed in again silently, as the same user or not at all.

use crate::account::{Keeper, ends_at};
use crate::tokens::Stored;
use heyho_buffer::SignedIn;
use heyho_local::clock::Clock;
use heyho_records::fault::planted;
use heyho_sync::answer::TransportError;
use heyho_sync::auth_http::{Asked, AuthError, Tokens};
use heyho_sync::driver::Driver;
use heyho_sync::policy::{REFRESH_AGAIN, REFRESH_EARLY};
use heyho_sync::secret::Secret;
use heyho_sync::why::Why;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub struct Tokenholder {
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    stored: Stored,
    short_session: bool,
    /// Tokens that end soon could not be renewed: not asked again in this run before they are refused. With what the
    /// backend asked for, if it wants to be left alone.
    not_again: Option<(Why, Option<Duration>)>,
}

/// What a request is to be sent with.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    Token(Secret),
    /// It is over, and could not be renewed: nothing is sent with it, and this is why.
    NotNow(Why, Option<Duration>),
}

/// What a refresh came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Refresh {
    Done,
    SessionOver,
    NotNow(Why, Option<Duration>),
}

impl Tokenholder {
    pub fn new(keeper: Keeper, clock: Arc<dyn Clock>, stored: Stored) -> Tokenholder {
        Tokenholder { keeper, clock, stored, short_session: false, not_again: None }
    }

    /// The access token, renewed before it ends. Where that fails the old one is given while it lasts, and the backend's
    /// answer to it decides. Once it is over nothing is sent with it while the backend is away: one request is enough to
    /// learn that. What answers without being the backend (a page) is not believed: the backend itself is asked.
    pub async fn access(&mut self, driver: &Driver) -> Access {
        let now = self.clock.now_ms();
        let early = i64::try_from(REFRESH_EARLY.as_millis()).unwrap_or(i64::MAX);
        let ends_soon = self.stored.expires_at.is_some_and(|at| at - early <= now);
        let over = self.stored.expires_at.is_some_and(|at| at <= now);
        if ends_soon
            && self.not_again.is_none()
            && (self.stored.refresh_token.is_some() || self.stored.kept_login.is_some())
            && let Refresh::NotNow(why, floor) = self.renew(driver, Asked::Early).await
        {
            if over && (floor.is_some() || is_away(&why)) {
                return Access::NotNow(why, floor);
            }
            self.not_again = Some((why, floor));
        }
        Access::Token(self.stored.access_token.clone())
    }

    /// The backend has refused the token.
    pub async fn refresh(&mut self, driver: &Driver) -> Refresh {
        match self.not_again.take() {
            Some((why, Some(floor))) => Refresh::NotNow(why, Some(floor)),
            _ => self.renew(driver, Asked::Refused).await,
        }
    }

    async fn renew(&mut self, driver: &Driver, asked: Asked) -> Refresh {
        let renewal = Renewal {
            keeper: self.keeper.clone(),
            clock: self.clock.clone(),
            driver: driver.clone(),
            before: self.stored.clone(),
            asked,
        };
        // The fault: the renewal ends with whoever waits for it.
        let renewed = match planted("drops-renewal") {
            true => renewal.renew().await,
            false => tokio::spawn(renewal.renew()).await.unwrap_or_else(|_| Renewed {
                refresh: Refresh::NotNow(Why::Internal, None),
                stored: self.stored.clone(),
                short_session: false,
            }),
        };
        self.stored = renewed.stored;
        self.short_session |= renewed.short_session;
        renewed.refresh
    }

    /// The backend has no way to renew a session.
    pub fn is_short_session(&self) -> bool {
        self.short_session
    }

    pub fn stored(&self) -> &Stored {
        &self.stored
    }
}

/// One renewal, from the tokens that were there before.
struct Renewal {
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    driver: Driver,
    before: Stored,
    asked: Asked,
}

struct Renewed {
    refresh: Refresh,
    stored: Stored,
    short_session: bool,
}

impl Renewal {
    async fn renew(self) -> Renewed {
        let _one = self.keeper.renewing().await;
        // Somebody else (a request beside the run, a new sign-in) has renewed it meanwhile: ours are spent.
        if let Some(kept) = self.keeper.kept().await
            && kept.account_ref == self.before.account_ref
            && kept.access_token != self.before.access_token
        {
            return Renewed { refresh: Refresh::Done, stored: kept, short_session: false };
        }
        let renewed = match &self.before.refresh_token {
            Some(token) => self.spend(token).await,
            None => Err(AuthError::NotRenewable),
        };
        match renewed {
            Ok(tokens) => self.with(tokens).await,
            Err(AuthError::NotNow(why, floor)) => self.not_renewed(Refresh::NotNow(why, floor)),
            Err(error) => {
                let renewed = self.sign_in_again().await;
                Renewed { short_session: error == AuthError::NotRenewable, ..renewed }
            }
        }
    }

    /// Until an answer came, or the backend's grace for a token that was spent is over.
    async fn spend(&self, token: &Secret) -> Result<Tokens, AuthError> {
        let mut answer = self.driver.refresh(token, self.asked).await;
        for wait in REFRESH_AGAIN {
            // The fault: the answer is lost, and with it the session.
            if !answer.as_ref().is_err_and(is_lost) || planted("loses-renewal") {
                break;
            }
            tokio::time::sleep(wait).await;
            answer = self.driver.refresh(token, self.asked).await;
        }
        answer
    }

    fn not_renewed(&self, refresh: Refresh) -> Renewed {
        Renewed { refresh, stored: self.before.clone(), short_session: false }
    }

    async fn with(&self, tokens: Tokens) -> Renewed {
        let Tokens { access_token, refresh_token, expires_in } = tokens;
        let stored = Stored {
            access_token,
            refresh_token: refresh_token.or_else(|| self.before.refresh_token.clone()),
            expires_at: expires_in.map(|length| ends_at(self.clock.now_ms(), length)),
            ..self.before.clone()
        };
        let stored = self.keeper.renew(&self.before, stored).await;
        Renewed { refresh: Refresh::Done, stored, short_session: false }
    }

    async fn sign_in_again(&self) -> Renewed {
        let Some(kept) = self.before.kept_login.clone() else {
            return self.not_renewed(Refresh::SessionOver);
        };
        let session = match self.driver.login(&kept.email, &kept.password).await {
            Ok(session) => session,
            Err(AuthError::NotNow(why, floor)) => return self.not_renewed(Refresh::NotNow(why, floor)),
            // That says nothing about the password.
            Err(AuthError::Forbidden(_)) => {
                return self.not_renewed(Refresh::NotNow(Why::Forbidden, None));
            }
            Err(error) => {
                tracing::info!("the kept password does not sign in any more: {error}");
                return self.forget_login().await;
            }
        };
        let who = SignedIn {
            backend: self.driver.base_url().as_str().to_owned(),
            user_id: session.user.id,
            email: kept.email,
            claim_others: false,
        };
        if who.account_ref() != self.before.account_ref {
            tracing::warn!("the kept password signs in another user: it is not used");
            return self.forget_login().await;
        }
        let tokens = Tokens {
            access_token: session.access_token,
            refresh_token: session.refresh_token,
            expires_in: session.expires_in,
        };
        self.with(tokens).await
    }

    async fn forget_login(&self) -> Renewed {
        let without = Stored { kept_login: None, ..self.before.clone() };
        let stored = self.keeper.renew(&self.before, without).await;
        let refresh = match stored.access_token == self.before.access_token {
            true => Refresh::SessionOver,
            // Somebody has signed in meanwhile.
            false => Refresh::Done,
        };
        Renewed { refresh, stored, short_session: false }
    }
}

/// The backend was reached, and may have answered.
fn is_lost(error: &AuthError) -> bool {
    use TransportError::{AnswerTimeout, ConnectionLost};
    matches!(error, AuthError::NotNow(Why::NoAnswer { error: AnswerTimeout | ConnectionLost }, _))
}

fn is_away(why: &Why) -> bool {
    matches!(why, Why::NoAnswer { .. } | Why::ServerError { .. } | Why::RateLimited)
}

#[cfg(test)]
mod tests;
