//! Settings that change while it runs: in force at once, without losing what is under way.

use super::{Engine, ms};
use crate::live::SessionState;
use heyho_local::config::Config;
use heyho_records::time::timestamp;
use heyho_sync::policy::Policy;
use heyho_sync::surroundings::{Wishes, held_back};

impl Engine {
    /// A run that goes on goes on with them; where the backend is another one, the caller has ended it.
    pub(super) fn settings_changed(&mut self, config: Config) {
        let before = std::mem::replace(&mut self.config, config);
        self.core.set_policy(policy(&self.config));
        let now = self.monotonic.now_ms();
        if before.backend != self.config.backend {
            self.backend_changed(before.backend.url != self.config.backend.url);
        }
        if before.sync.interval != self.config.sync.interval
            && let Some(next) = self.next_at
        {
            let next = next.min(now.saturating_add(ms(self.config.sync.interval)));
            self.next_at = Some(next);
            // What is shown is what holds.
            let shown = timestamp(self.clock.now_ms().saturating_add(next - now));
            self.live.change(|live| live.next_attempt_at = Some(shown));
        }
        if self.hold_back() {
            self.released();
        }
        self.telling.soon();
        self.live.touch();
    }

    /// The session is looked at anew: it goes on where it belongs to this backend, and is over where not.
    fn backend_changed(&mut self, elsewhere: bool) {
        if elsewhere {
            self.core.forget_backend();
        }
        let live = self.live.read();
        if live.session == SessionState::SignedOut {
            return self.live.change(|live| live.configuration = None);
        }
        self.signed = None;
        self.next_at = None;
        self.first_run = true;
        self.resume_at = Some(self.monotonic.now_ms());
        self.live.change(|live| {
            live.session = SessionState::Starting;
            live.configuration = None;
            live.note = None;
            live.short_session = false;
            live.last_end = None;
            live.next_attempt_at = None;
        });
    }

    /// Whether the surroundings hold runs back, said in `live`. `true`: they did and do no longer.
    pub(super) fn hold_back(&mut self) -> bool {
        let sync = &self.config.sync;
        let wishes =
            Wishes { pause_on_metered: sync.pause_on_metered, pause_on_battery: sync.pause_on_battery };
        let holds = held_back(self.surroundings, wishes);
        let held = self.live.read().held_back;
        if held != holds {
            self.live.change(|live| live.held_back = holds);
        }
        held.is_some() && holds.is_none()
    }
}

pub(super) fn policy(config: &Config) -> Policy {
    Policy {
        batch_page_visits: config.sync.batch_page_visits as usize,
        batch_tab_aggregates: config.sync.batch_tab_aggregates as usize,
        batch_bytes: usize::try_from(config.sync.batch_bytes).unwrap_or(usize::MAX),
        interval: config.sync.interval,
    }
}
