//! The backend asked to be left alone for a while (`Retry-After`): that outlives the program.
//!
//! Key `left_alone` in the buffer's `meta`: `{"backend":"…","until":ms}`, on the wall clock. The clock may be set
//! meanwhile, so no more than the longest floor is believed.

use super::{Engine, ms};
use heyho_sync::policy::RETRY_AFTER_MOST;
use serde::{Deserialize, Serialize};

const LEFT_ALONE: &str = "left_alone";
/// A difference of two clocks' readings that is no change.
const SAME_MS: i64 = 1_000;

#[derive(Serialize, Deserialize)]
struct LeftAlone {
    backend: String,
    until: i64,
}

impl Engine {
    pub(super) async fn remember_floor(&mut self) {
        let Ok(Some(text)) = self.buffer.meta(LEFT_ALONE).await else { return };
        let Ok(kept) = serde_json::from_str::<LeftAlone>(&text) else { return };
        let left = kept.until.saturating_sub(self.clock.now_ms()).min(ms(RETRY_AFTER_MOST));
        if kept.backend == self.config.backend.url.as_str() && left > 0 && self.core.not_before().is_none() {
            self.core.ask_not_before(self.monotonic.now_ms().saturating_add(left));
            self.kept_floor = Some(kept.until);
        }
    }

    pub(super) async fn keep_floor(&mut self) {
        let left = self.core.not_before().map(|until| until.saturating_sub(self.monotonic.now_ms()));
        let Some(left) = left.filter(|left| *left > 0) else { return };
        let until = self.clock.now_ms().saturating_add(left);
        if self.kept_floor.is_some_and(|kept| (kept - until).abs() < SAME_MS) {
            return;
        }
        let kept = LeftAlone { backend: self.config.backend.url.as_str().to_owned(), until };
        let text = serde_json::to_string(&kept).unwrap_or_default();
        match self.buffer.set_meta(LEFT_ALONE, &text).await {
            Ok(()) => self.kept_floor = Some(until),
            Err(error) => {
                tracing::warn!("that the backend wants to be left alone could not be kept: {error}")
            }
        }
    }
}
