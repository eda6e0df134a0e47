//! What lies around this machine and decides whether a run is wanted: the network, its price, the power.
//!
//! Pure: who looks (the agent's platform module) says what it saw; here it is decided what that means.

use crate::policy;
use std::time::Duration;

/// As far as it is known. What cannot be known holds nothing back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// A way to other machines; `None`: nobody can say.
    pub online: Option<bool>,
    /// The connection is paid by the byte, or is guessed to be.
    pub metered: bool,
    pub on_battery: bool,
}

/// What the user asked for in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    pub pause_on_metered: bool,
    pub pause_on_battery: bool,
}

/// Why no run begins by itself. Sync now goes on all the same: whoever presses it has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBack {
    Metered,
    Battery,
}

impl HeldBack {
    /// The stable word.
    pub fn code(self) -> &'static str {
        match self {
            HeldBack::Metered => "metered",
            HeldBack::Battery => "on_battery",
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            HeldBack::Metered => {
                "Paused on a metered connection, as the settings ask. Sync now sends all the same."
            }
            HeldBack::Battery => "Paused on battery, as the settings ask. Sync now sends all the same.",
        }
    }
}

pub fn held_back(around: Surroundings, wishes: Wishes) -> Option<HeldBack> {
    match (around.metered && wishes.pause_on_metered, around.on_battery && wishes.pause_on_battery) {
        (true, _) => Some(HeldBack::Metered),
        (_, true) => Some(HeldBack::Battery),
        _ => None,
    }
}

/// The network was away and is back.
pub fn network_returned(before: Surroundings, after: Surroundings) -> bool {
    before.online == Some(false) && after.online == Some(true)
}

/// When to begin a run after the network came back: once names resolve, not all machines of one room at once,
/// and not again and again while a cable is loose.
pub fn run_after_return(now: i64, next: Option<i64>, last_end: Option<i64>, jitter: f64) -> i64 {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let least = policy::NETWORK_SETTLES_LEAST;
    let settled = policy::NETWORK_SETTLES.mul_f64(least + (1.0 - least) * jitter.clamp(0.0, 1.0));
    let soon = now.saturating_add(millis(settled));
    let soon = last_end.map_or(soon, |end| soon.max(end.saturating_add(millis(policy::NETWORK_FLAPS))));
    next.map_or(soon, |next| next.min(soon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_and_wished_for_holds_back() {
        let (metered, battery) = (
            Surroundings { metered: true, ..Surroundings::default() },
            Surroundings { on_battery: true, ..Surroundings::default() },
        );
        let wishes = |pause_on_metered, pause_on_battery| Wishes { pause_on_metered, pause_on_battery };
        for (around, wishes, expected) in [
            (Surroundings::default(), wishes(true, true), None),
            (metered, wishes(false, true), None),
            (metered, wishes(true, false), Some(HeldBack::Metered)),
            (battery, wishes(true, false), None),
            (battery, wishes(false, true), Some(HeldBack::Battery)),
            (Surroundings { metered: true, ..battery }, wishes(true, true), Some(HeldBack::Metered)),
        ] {
            assert_eq!(held_back(around, wishes), expected, "{around:?} {wishes:?}");
        }
    }

    #[test]
    fn the_network_returns_only_after_it_was_known_to_be_away() {
        let of = |online| Surroundings { online, ..Surroundings::default() };
        assert!(network_returned(of(Some(false)), of(Some(true))));
        for (before, after) in [(None, Some(true)), (Some(true), Some(true)), (Some(false), None)] {
            assert!(!network_returned(of(before), of(after)));
        }
    }

    #[test]
    fn after_a_return_a_run_comes_within_seconds_and_a_loose_cable_starts_no_storm() {
        for jitter in [0.0, 0.5, 1.0] {
            let at = run_after_return(1_000_000, Some(1_300_000), Some(900_000), jitter);
            assert!((1_001_000..=1_005_000).contains(&at), "{at}");
            assert_eq!(run_after_return(1_000_000, Some(1_000_500), None, jitter), 1_000_500);
            assert!(run_after_return(1_000_000, None, Some(999_000), jitter) >= 1_014_000);
        }
    }
}
