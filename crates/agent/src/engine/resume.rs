//! The session that was there when the program ended.

use super::{Engine, Signed, ms};
use crate::commands::driver;
use crate::live::{Live, SessionState};
use heyho_buffer::BufferError;
use heyho_local::vocabulary::Fault;
use heyho_records::fault::planted;
use heyho_records::status::Said;
use heyho_sync::policy::RESUME_AGAIN;

/// The code of what is said while the keyring is not there.
pub(super) const WAITING_FOR_TOKENS: &str = "waiting_for_tokens";

impl Engine {
    /// The session that was there when the program ended, if its tokens are still here and are its own.
    pub(super) async fn resume_session(&mut self) {
        self.resume_at = None;
        let expired = |live: &Live, code: &str, why: &str| {
            tracing::warn!("the session of the last start cannot go on: {why}");
            let note = Said::new(code, format!("{why} Records are kept safely here."));
            live.change(|live| {
                live.session = SessionState::Expired;
                live.note = Some(note);
            });
        };
        let account = match self.buffer.signed_in().await {
            Ok(Some(account)) => account,
            Ok(None) => {
                // What a sign-out left behind when the program died in the middle of it; not what somebody who signs
                // in at this moment has just stored.
                self.keeper.clear_left_over().await;
                return self.live.change(|live| live.session = SessionState::SignedOut);
            }
            Err(error) => return self.live.change(|live| live.buffer_problem = Some(unusable(&error))),
        };
        if account.backend != self.config.backend.url.as_str() {
            return expired(&self.live, "other_backend", "The settings name another backend: sign in there.");
        }
        let stored = match self.keeper.load().await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                return expired(&self.live, "session_gone", "The stored session is gone: sign in again.");
            }
            Err(error) => {
                tracing::warn!("{error}; it is looked at again in a while");
                self.resume_at = Some(self.monotonic.now_ms() + ms(RESUME_AGAIN));
                let text = format!("Waiting for your session: {}.", error.plain());
                let note = Said::new(WAITING_FOR_TOKENS, text);
                return self.live.change(|live| live.note = Some(note));
            }
        };
        // The fault: whatever tokens there are are used for whoever is signed in.
        if stored.account_ref != account.r#ref && !planted("anybodys-tokens") {
            return expired(
                &self.live,
                "session_of_another",
                "The stored session is another account's: sign in again.",
            );
        }
        match driver(&self.config, &self.device_id) {
            Ok(driver) => {
                self.signed = Some(Signed { account, stored, driver });
                self.remember().await;
                self.next_at = self.first_run.then(|| self.monotonic.now_ms());
                self.live.change(|live| {
                    live.session = SessionState::SignedIn;
                    live.note = None;
                });
            }
            Err(fault) => {
                self.live.change(|live| live.configuration = Some(configuration(&fault)));
            }
        }
    }
}

fn unusable(error: &BufferError) -> Said {
    Said::new("buffer_unusable", format!("The local store of records cannot be used: {error}."))
}

fn configuration(fault: &Fault) -> Said {
    let problem = fault.text.trim_end_matches('.');
    Said::new("configuration", format!("{problem}. Records are kept safely here."))
        .with("problem", fault.text.as_str())
}
