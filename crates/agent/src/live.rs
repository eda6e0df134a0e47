//! What is true right now and stands in no file: which run is going, why the last one ended, what is paused.
//! The engine and the commands write it; publishing reads it.

use crate::forgetting::{Forgetting, Hosts};
use heyho_local::vocabulary::{Attachment, Delivered, Event, Notice};
use heyho_records::fault::planted;
use heyho_records::status::{Metrics, Said};
use heyho_sync::surroundings::HeldBack;
use heyho_sync::why::Why;
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, broadcast, watch};

/// So many of the last deliveries are remembered.
pub const DELIVERED: usize = 20;
/// Events a listener may be behind.
const EVENTS: usize = 64;

#[derive(Debug)]
pub struct Live {
    state: Mutex<LiveState>,
    changed: Notify,
    delivered: Mutex<Deliveries>,
    /// Read by whoever has records on the way to the backend, written by whoever deletes them there.
    sending: Arc<RwLock<()>>,
    events: broadcast::Sender<Event>,
    /// What stands of what somebody should be told; none: it was not looked at yet.
    alerts: watch::Sender<Option<Vec<Notice>>>,
    hosts: Hosts,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            state: Mutex::default(),
            changed: Notify::new(),
            delivered: Mutex::default(),
            sending: Arc::default(),
            events: broadcast::channel(EVENTS).0,
            alerts: watch::Sender::new(None),
            hosts: Hosts::default(),
        }
    }
}

/// What was delivered last, newest first; in memory only.
#[derive(Debug, Default)]
struct Deliveries {
    last: VecDeque<Delivered>,
    /// How often something was to be forgotten: what was read before must not come back after.
    erasures: u64,
}

#[derive(Debug, Clone, Default)]
pub struct LiveState {
    /// Signed in, and the tokens are here.
    pub session: SessionState,
    pub running: Option<Running>,
    /// Why the last run ended.
    pub last_end: Option<Why>,
    pub next_attempt_at: Option<Timestamp>,
    pub paused: Option<Pause>,
    /// Why no run begins by itself, though nobody has paused.
    pub held_back: Option<HeldBack>,
    /// How delivering went in the last day.
    pub metrics: Option<Metrics>,
    /// This backend ends sessions and cannot renew them.
    pub short_session: bool,
    /// Browsers that are connected through a host, and how often.
    pub connected: HashMap<String, usize>,
    /// What is wrong with the buffer.
    pub buffer_problem: Option<Said>,
    /// Settings that keep us from the backend.
    pub configuration: Option<Said>,
    /// Privacy rules that cannot be read: no host takes anything.
    pub rules: Option<Said>,
    /// The file was found damaged, by whichever program: so until the next start, which mends it.
    pub damage: Option<Said>,
    /// A damaged buffer was set aside when this program started: what was saved.
    pub recovered: Option<Said>,
    /// Something the user should know that is no failure: tokens that live only in memory.
    pub note: Option<Said>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionState {
    /// The tokens are still being looked for: what the buffer says counts.
    #[default]
    Starting,
    SignedOut,
    SignedIn,
    /// An account is signed in, and its session is over.
    Expired,
}

/// A run, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    pub done: u64,
    /// Done and left, of one moment.
    pub total: u64,
    /// How long it still takes, where that is known.
    pub left: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    UntilResumed,
    Until(Timestamp),
}

impl Live {
    pub fn read(&self) -> LiveState {
        self.lock().clone()
    }

    /// Changes it, and has the new status published.
    pub fn change(&self, how: impl FnOnce(&mut LiveState)) {
        how(&mut self.lock());
        self.touch();
    }

    /// The buffer has changed: have the status published anew.
    pub fn touch(&self) {
        self.changed.notify_one();
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What was just confirmed, newest last, and read when so much had been forgotten.
    pub fn deliver(&self, erasures: u64, confirmed: impl IntoIterator<Item = Delivered>) {
        let mut delivered = self.deliveries();
        // The fault: what was read before is shown though it was forgotten meanwhile.
        if delivered.erasures != erasures && !planted("shows-forgotten") {
            return;
        }
        for one in confirmed {
            delivered.last.push_front(one);
        }
        delivered.last.truncate(DELIVERED);
    }

    pub fn delivered(&self) -> Vec<Delivered> {
        self.deliveries().last.iter().cloned().collect()
    }

    /// A number that changes whenever something is to be forgotten.
    pub fn erasures(&self) -> u64 {
        self.deliveries().erasures
    }

    /// Something is about to be forgotten: what is in memory of it is not used any more.
    pub fn erasing(&self) {
        self.deliveries().erasures += 1;
    }

    /// Held from before it is looked whether records may still be sent, until they are answered.
    pub async fn sending(&self) -> OwnedRwLockReadGuard<()> {
        self.sending.clone().read_owned().await
    }

    /// Nothing is on the way to the backend, and nothing sets out while this is held.
    pub async fn nothing_on_the_way(&self) -> OwnedRwLockWriteGuard<()> {
        self.sending.clone().write_owned().await
    }

    /// This site and everything under it.
    pub fn forget_delivered(&self, site: &str) {
        let of_site = |host: &str| {
            let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_lowercase();
            host == site || host.strip_suffix(site).is_some_and(|rest| rest.ends_with('.'))
        };
        let mut delivered = self.deliveries();
        delivered.erasures += 1;
        delivered.last.retain(|one| !one.host.as_deref().is_some_and(of_site));
    }

    pub fn forget_all_delivered(&self) {
        let mut delivered = self.deliveries();
        delivered.erasures += 1;
        delivered.last.clear();
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever is attached or subscribed; nobody need be.
    pub fn push(&self, event: Event) {
        let _ = self.events.send(event);
    }

    pub fn note_alerts(&self, standing: Vec<Notice>) {
        self.alerts.send_replace(Some(standing));
    }

    /// What stands, once that is known.
    pub async fn alerts(&self) -> Vec<Notice> {
        let mut alerts = self.alerts.subscribe();
        match alerts.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Tells the hosts to let nothing older of a site pass any more, and those that attach as long as this is kept.
    pub fn begin_to_forget(&self, site: &str) -> Forgetting<'_> {
        let forgetting = self.hosts.begin(site);
        self.push(Event::Forget { domain: site.to_owned() });
        forgetting
    }

    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, LiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host's connection for one browser profile.
#[derive(Debug)]
pub struct Connected {
    live: Arc<Live>,
    source: String,
    host: u64,
    /// What was being forgotten when it came.
    forgetting: Vec<String>,
}

impl Connected {
    pub fn new(live: Arc<Live>, source: String) -> Connected {
        let (host, forgetting) = live.hosts.attach(&source);
        live.change(|live| *live.connected.entry(source.clone()).or_default() += 1);
        Connected { live, source, host, forgetting }
    }
}

impl Attachment for Connected {
    fn forgetting(&self) -> Vec<String> {
        self.forgetting.clone()
    }

    fn told(&self, site: &str) {
        self.live.hosts.told(self.host, site);
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.live.hosts.leave(self.host);
        self.live.change(|live| {
            if let Some(count) = live.connected.get_mut(&self.source) {
                *count -= 1;
                if *count == 0 {
                    live.connected.remove(&self.source);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_records::Kind;

    #[test]
    fn the_last_deliveries_are_remembered_and_forgotten_by_site() {
        let live = Live::default();
        let one = |host: &str| Delivered {
            title: None,
            host: Some(host.to_owned()),
            kind: Kind::PageVisit,
            at: Timestamp::UNIX_EPOCH,
        };
        live.deliver(0, (0..30).map(|i| one(&format!("{i}.example"))));
        let hosts = || live.delivered().into_iter().filter_map(|one| one.host).collect::<Vec<_>>();
        assert_eq!((hosts().len(), hosts()[0].as_str()), (DELIVERED, "29.example"));
        live.deliver(0, ["Bank.example:8080", "www.bank.example", "notbank.example"].map(one));
        live.forget_delivered("bank.example");
        assert_eq!(hosts()[0], "notbank.example");
        assert!(
            !hosts()
                .iter()
                .any(|host| host.to_lowercase().ends_with("bank.example:8080") || host.starts_with("www"))
        );
        // What was read before it was forgotten is not shown after.
        live.deliver(0, [one("www.bank.example")]);
        assert_eq!(hosts()[0], "notbank.example");
        live.forget_all_delivered();
        assert!(hosts().is_empty());
    }
}
