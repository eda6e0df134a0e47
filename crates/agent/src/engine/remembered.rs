//! What was learnt of a backend for an account outlives the program, and a sign-out.
//!
//! Key `blamed` in the buffer's `meta`: `{"<account ref>":[visits, aggregates]}`: how many records of each kind were set
//! aside because something else was accepted, and none of the kind since (docs/sync.md, "The record nobody names").
//! Whoever forgets that sets as many good records of a kind aside at each start, as long as the backend is sick.
//!
//! A higher number is kept before the settlement that sets them aside; a lower one at the end of the run: dying in
//! between leaves one that is too high, which the next acceptance of the kind ends.

use super::Engine;
use heyho_buffer::{BLAMED, BufferError, LAST_CONFIRMED};
use heyho_records::fault::planted;
use heyho_sync::core::Remembered;
use std::collections::BTreeMap;

impl Engine {
    /// For the session that begins, or goes on.
    pub(super) async fn remember(&mut self) {
        self.remember_floor().await;
        let Some(signed) = &self.signed else { return };
        let kept = self.kept().await;
        let of_it = |kept: &BTreeMap<String, [usize; 2]>| kept.get(&signed.account.r#ref).copied();
        let mut blamed = kept.as_ref().and_then(of_it).unwrap_or_default();
        // The fault: what was set aside before the start is forgotten.
        if planted("forgets-blame") {
            blamed = [0; 2];
        }
        // Of this very account: another sign-in takes it away.
        let takes_records = self.buffer.meta(LAST_CONFIRMED).await.is_ok_and(|at| at.is_some());
        self.kept_blamed = kept.map(|_| blamed);
        self.core.remember(Remembered { blamed, takes_records });
    }

    /// Before a settlement.
    pub(super) async fn keep_what_is_blamed(&mut self) {
        let kept = self.kept_blamed.unwrap_or_default();
        if self.core.blamed().iter().zip(kept).any(|(now, kept)| *now > kept) {
            self.keep_blamed().await;
        }
    }

    pub(super) async fn keep_blamed(&mut self) {
        let blamed = self.core.blamed();
        if self.kept_blamed.is_none_or(|kept| kept == blamed) {
            return;
        }
        let Some(signed) = &self.signed else { return };
        // What cannot be read is not written over: others' numbers stand there too.
        let Some(mut all) = self.kept().await else { return };
        // Of those whose records are here.
        if let Ok(accounts) = self.buffer.accounts().await {
            all.retain(|r#ref, _| accounts.iter().any(|account| account.r#ref == *r#ref));
        }
        all.insert(signed.account.r#ref.clone(), blamed);
        all.retain(|_, blamed| *blamed != [0; 2]);
        let text = serde_json::to_string(&all).unwrap_or_default();
        match self.buffer.set_meta(BLAMED, &text).await {
            Ok(()) => self.kept_blamed = Some(blamed),
            Err(error) => {
                tracing::warn!("how many records of a kind were set aside could not be kept: {error}")
            }
        }
    }

    /// None: it cannot be read just now. What is no such object is damage, and nothing.
    async fn kept(&self) -> Option<BTreeMap<String, [usize; 2]>> {
        let text = match self.buffer.meta(BLAMED).await {
            Ok(text) => text.unwrap_or_default(),
            Err(BufferError::Damaged(_)) => String::new(),
            Err(error) => {
                tracing::warn!("how many records of a kind were set aside could not be read: {error}");
                return None;
            }
        };
        Some(serde_json::from_str(&text).unwrap_or_default())
    }
}
