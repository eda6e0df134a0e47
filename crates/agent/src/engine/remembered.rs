//! What was learnt of a backend for an account outlives the program, and a sign-out.
//!
//! Key `blamed` in the buffer's `meta`: `{"<account ref>":[visits, aggregates]}`: how many records of each kind were set
//! aside because something else was accepted, and none of the kind since (docs/sync.md, "The record nobody names").
//! Whoever forgets that sets as many good records of a kind aside at each start, as long as the backend is sick.
//!
//! A higher number is kept before the settlement that sets them aside; a lower one at the end of the run: dying in
//! between leaves one that is too high, which the next acceptance of the kind ends.

use super::Engine;
use heyho_buffer::LAST_CONFIRMED;
use heyho_records::fault::planted;
use heyho_sync::core::Remembered;
use std::collections::BTreeMap;

const BLAMED: &str = "blamed";

impl Engine {
    /// For the session that begins, or goes on.
    pub(super) async fn remember(&mut self) {
        self.remember_floor().await;
        let Some(signed) = &self.signed else { return };
        let mut blamed = self.kept().await.get(&signed.account.r#ref).copied().unwrap_or_default();
        // The fault: what was set aside before the start is forgotten.
        if planted("forgets-blame") {
            blamed = [0; 2];
        }
        // Of this very account: another sign-in takes it away.
        let takes_records = self.buffer.meta(LAST_CONFIRMED).await.is_ok_and(|at| at.is_some());
        self.kept_blamed = blamed;
        self.core.remember(Remembered { blamed, takes_records });
    }

    /// Before a settlement.
    pub(super) async fn keep_what_is_blamed(&mut self) {
        if self.core.blamed().iter().zip(self.kept_blamed).any(|(now, kept)| *now > kept) {
            self.keep_blamed().await;
        }
    }

    pub(super) async fn keep_blamed(&mut self) {
        let blamed = self.core.blamed();
        let Some(signed) = self.signed.as_ref().filter(|_| blamed != self.kept_blamed) else { return };
        let mut all = self.kept().await;
        // Of those whose records are here.
        if let Ok(accounts) = self.buffer.accounts().await {
            all.retain(|r#ref, _| accounts.iter().any(|account| account.r#ref == *r#ref));
        }
        all.insert(signed.account.r#ref.clone(), blamed);
        all.retain(|_, blamed| *blamed != [0; 2]);
        let text = serde_json::to_string(&all).unwrap_or_default();
        match self.buffer.set_meta(BLAMED, &text).await {
            Ok(()) => self.kept_blamed = blamed,
            Err(error) => {
                tracing::warn!("how many records of a kind were set aside could not be kept: {error}")
            }
        }
    }

    async fn kept(&self) -> BTreeMap<String, [usize; 2]> {
        let text = self.buffer.meta(BLAMED).await.ok().flatten().unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}
