//! The backend asked to be left alone for a while (`Retry-After`): that outlives the program.
//!
//! Key `left_alone` in the buffer's `meta`: `{"<backend>":until}`, for each backend whose time is not over, in
//! milliseconds on the wall clock. The clock may be set meanwhile, so no more than the longest floor is believed.

use super::{Engine, ms};
use heyho_records::fault::planted;
use heyho_sync::policy::RETRY_AFTER_MOST;
use std::collections::BTreeMap;

const LEFT_ALONE: &str = "left_alone";
/// A difference of two clocks' readings that is no change.
const SAME_MS: i64 = 1_000;

impl Engine {
    pub(super) async fn remember_floor(&mut self) {
        self.kept_floor = None;
        let Some(until) = self.left_alone().await.get(self.config.backend.url.as_str()).copied() else {
            return;
        };
        let left = until.saturating_sub(self.clock.now_ms()).min(ms(RETRY_AFTER_MOST));
        // The fault: what was asked for is forgotten with the program.
        if left > 0 && self.core.not_before().is_none() && !planted("forgets-floor") {
            self.core.ask_not_before(self.monotonic.now_ms().saturating_add(left));
            self.kept_floor = Some(until);
        }
    }

    async fn left_alone(&self) -> BTreeMap<String, i64> {
        let text = self.buffer.meta(LEFT_ALONE).await.ok().flatten().unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) async fn keep_floor(&mut self) {
        let left = self.core.not_before().map(|until| until.saturating_sub(self.monotonic.now_ms()));
        let Some(left) = left.filter(|left| *left > 0) else { return };
        let until = self.clock.now_ms().saturating_add(left);
        if self.kept_floor.is_some_and(|kept| (kept - until).abs() < SAME_MS) {
            return;
        }
        let now = self.clock.now_ms();
        let mut kept = self.left_alone().await;
        kept.retain(|_, until| *until > now);
        kept.insert(self.config.backend.url.as_str().to_owned(), until);
        let text = serde_json::to_string(&kept).unwrap_or_default();
        match self.buffer.set_meta(LEFT_ALONE, &text).await {
            Ok(()) => self.kept_floor = Some(until),
            Err(error) => {
                tracing::warn!("that the backend wants to be left alone could not be kept: {error}")
            }
        }
    }
}
