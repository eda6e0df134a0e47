//! The program dies at each named point of the loop: nothing is lost, nothing is sent under two keys, nothing
//! good is set aside, and no session ends. The ledger is the backend's: which keys each record came under, and which
//! tokens it has given. Half of the seeds speak to a backend of the contract, with gzip, half in baseline mode; half of
//! each to one that refuses without naming, so that it must vouch. Each life has a runtime of its own, so that nothing
//! goes on after its death. `HEYHO_SEEDS`.
//!
//! Signing in and out: `tests/agent/dying.rs`.

mod backend;
mod store;

use crate::account::Keeper;
use crate::carry::Carrier;
use crate::live::Live;
use crate::monotonic::Monotonic;
use crate::tokenholder::Tokenholder;
use crate::tokens::{FileStore, Stored, TokenStore};
use backend::{backend, is_bad};
use heyho_buffer::{Account, Arrival, Buffer, SignedIn, Source};
use heyho_local::clock;
use heyho_sync::base_url::BaseUrl;
use heyho_sync::core::Core;
use heyho_sync::driver::{Driver, DriverConfig, ProxySetting};
use heyho_sync::policy::Policy;
use heyho_sync::secret::Secret;
use heyho_sync::task::{Outcome, Task, Trigger};
use heyho_sync::why::Why;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use store::{Deadly, Write};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const RECORDS: usize = 40;
/// Most of the time of each is spent waiting for the disk.
const AT_ONCE: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    BeforeTheBatch,
    WithinTheBatch,
    BatchPersisted,
    WithinTheRequest,
    Answered,
    WithinTheSettlement,
    Settled,
    WithinTheRenewal,
    RenewalAnswered,
    RenewalStored,
    Renewed,
    BeforeTheVouch,
    WithinTheVouch,
    Vouched,
}

const POINTS: [Point; 14] = [
    Point::BeforeTheBatch,
    Point::WithinTheBatch,
    Point::BatchPersisted,
    Point::WithinTheRequest,
    Point::Answered,
    Point::WithinTheSettlement,
    Point::Settled,
    Point::WithinTheRenewal,
    Point::RenewalAnswered,
    Point::RenewalStored,
    Point::Renewed,
    Point::BeforeTheVouch,
    Point::WithinTheVouch,
    Point::Vouched,
];

impl Point {
    /// How often a life comes past it, as far as one can rely on it.
    fn passes(self) -> u64 {
        use Point::*;
        match self {
            WithinTheRenewal | RenewalAnswered | RenewalStored | Renewed => 1,
            BeforeTheVouch | WithinTheVouch | Vouched => 1,
            _ => 4,
        }
    }

    /// Only a backend that is mute must vouch.
    fn happens(self, mute: bool) -> bool {
        mute || !matches!(self, Point::BeforeTheVouch | Point::WithinTheVouch | Point::Vouched)
    }

    fn at_write(self) -> Option<Write> {
        match self {
            Point::RenewalAnswered => Some(Write::Before),
            Point::RenewalStored => Some(Write::After),
            _ => None,
        }
    }
}

/// Which of these is at this task: before it, within it, after it.
fn points_of(task: &Task) -> [Option<Point>; 3] {
    match task {
        Task::TakeBatch(_) => [Some(Point::BeforeTheBatch), Some(Point::WithinTheBatch), None],
        Task::Send { .. } => [Some(Point::BatchPersisted), Some(Point::WithinTheRequest), None],
        Task::Settle(_) => [Some(Point::Answered), Some(Point::WithinTheSettlement), Some(Point::Settled)],
        Task::RefreshToken => [None, Some(Point::WithinTheRenewal), Some(Point::Renewed)],
        Task::Vouch { .. } => {
            [Some(Point::BeforeTheVouch), Some(Point::WithinTheVouch), Some(Point::Vouched)]
        }
        _ => [None; 3],
    }
}

/// What of the program is on the disk, and where it lives.
#[derive(Debug, Clone)]
struct Home {
    dir: Arc<tempfile::TempDir>,
    account: Account,
    url: String,
}

impl Home {
    fn buffer(&self) -> std::path::PathBuf {
        self.dir.path().join("buffer.db")
    }

    fn tokens(&self) -> FileStore {
        FileStore::new(self.dir.path().join("tokens"))
    }

    async fn append(&self, ids: &[String]) {
        let buffer = Buffer::open(&self.buffer()).await.unwrap();
        let text =
            |id: &String| format!(r#"{{"id":"{id}","url":"http://a/{id}","startedAt":1700000000000}}"#);
        let texts: Vec<String> = ids.iter().map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let source = Source {
            name: "e#p".into(),
            profile_id: "p".into(),
            browser: String::new(),
            client: String::new(),
        };
        let now = clock::system().now_ms();
        buffer.append(&source, &[Arrival::read(None, &texts, &[])], 0, now).await.unwrap();
        buffer.close().await;
    }
}

/// One life of the program, to its end or to the n-th time it comes to a point. `true`: it ended by itself.
async fn live(home: &Home, crash: Option<(Point, u64)>, polls: u64, store: Arc<dyn TokenStore>) -> bool {
    let (buffer, clock) = (Buffer::open(&home.buffer()).await.unwrap(), clock::system());
    let keeper = Keeper::new(store);
    let stored = keeper.load().await.unwrap().unwrap();
    let driver = Driver::new(&DriverConfig {
        base_url: BaseUrl::parse(&home.url, false).unwrap(),
        ca_file: None,
        proxy: ProxySetting::Off,
        device_id: "d".into(),
        user_agent: "t".into(),
    })
    .unwrap();
    let mut carrier = Carrier::new(
        buffer,
        driver,
        Tokenholder::new(keeper, clock.clone(), stored),
        home.account.id,
        "d".into(),
        clock.clone(),
        Monotonic::start(clock.clone()),
        Arc::new(Live::default()),
    );
    let mut core = Core::new(Policy { batch_page_visits: 7, ..Policy::default() });
    let mut left = crash.map_or(u64::MAX, |(_, times)| times);
    let mut dies = |point: Option<Point>| {
        let hit = point.is_some() && point == crash.map(|(point, _)| point);
        left -= u64::from(hit);
        hit && left == 0
    };
    let mut task = core.begin(Trigger::SyncNow, 0, 0.5);
    loop {
        if let Task::Finish(end) = &task {
            assert_ne!(end.why, Why::SessionExpired, "{crash:?}");
            return true;
        }
        let [before, within, after] = points_of(&task);
        if dies(before) {
            return false;
        }
        let outcome = if matches!(task, Task::Wait { .. }) {
            Outcome::Woken
        } else if dies(within) {
            dropped_at(polls, carrier.carry(&task)).await;
            return false;
        } else {
            carrier.carry(&task).await
        };
        if dies(after) {
            return false;
        }
        task = core.told(outcome, 0, 0.5);
    }
}

/// Dropped where it waits for the n-th time.
async fn dropped_at(polls: u64, work: impl Future) {
    let mut work = pin!(work);
    let mut polled = 0;
    std::future::poll_fn(|context| {
        polled += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending if polled >= polls => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

/// The same on a runtime of its own.
async fn live_alone(home: &Home, crash: Option<(Point, u64)>, polls: u64) -> bool {
    let home = home.clone();
    let life = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (body, gone): (_, Receiver<()>) = channel();
        let store = Arc::new(Deadly {
            file: home.tokens(),
            dies: crash.and_then(|(point, _)| point.at_write()),
            died: Arc::default(),
            gone: Mutex::new(gone),
        });
        let died = store.died.clone();
        let ended = runtime.block_on(async {
            tokio::select! {
                biased;
                () = died.notified() => false,
                ended = live(&home, crash, polls, store) => ended,
            }
        });
        runtime.shutdown_background();
        drop(body);
        ended
    };
    tokio::task::spawn_blocking(life).await.unwrap()
}

/// How often it died.
async fn crash_and_go_on(point: Point, seed: u64) -> u64 {
    let mute = seed % 4 >= 2;
    if !point.happens(mute) {
        return 0;
    }
    let (ledger, url) = backend(seed.is_multiple_of(2), mute).await;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let now = clock::system().now_ms();
    let who =
        SignedIn { backend: url.clone(), user_id: "u".into(), email: "u@x".into(), claim_others: false };
    let (account, _) = buffer.sign_in(&who, now).await.unwrap();
    buffer.close().await;
    let home = Home { dir, account, url };
    let first = Stored {
        account_ref: home.account.r#ref.clone(),
        access_token: Secret::new("a1"),
        refresh_token: Some(Secret::new("r1")),
        expires_at: None,
        kept_login: None,
    };
    home.tokens().save(&first).unwrap();
    let mut ids: Vec<String> = (0..RECORDS).map(|n| format!("v{n}")).collect();
    home.append(&ids).await;

    // It dies twice, the second time on the way back. Where nothing is named, a good record comes before each life that
    // shows whose fault it is, and a bad one behind it, so that nothing new is left to show it.
    let (mut died, mut lives) = (0, 0);
    loop {
        lives += 1;
        assert!(lives < 20, "{point:?}, seed {seed}: it never ends");
        if mute {
            let new = [format!("good-{lives}-0"), format!("bad-{lives}-7")];
            home.append(&new).await;
            ids.extend(new);
        }
        let crash = (lives <= 2).then_some((point, 1 + (seed + lives) % point.passes()));
        died += u64::from(!live_alone(&home, crash, 1 + seed % 7).await);
        if lives <= 2 {
            continue;
        }
        let buffer = Buffer::open(&home.buffer()).await.unwrap();
        let totals = buffer.totals(Some(home.account.id), now).await.unwrap();
        buffer.close().await;
        if totals.waiting() == 0 {
            let bad = ids.iter().filter(|id| is_bad(id)).count();
            assert_eq!(totals.failed, bad as u64, "{point:?}, seed {seed}");
            break;
        }
    }
    let ledger = ledger.lock().unwrap();
    assert!(!ledger.ended && ledger.renewals > 0, "{point:?}, seed {seed}: the session ended");
    let held: BTreeSet<&String> = ledger.keys.keys().collect();
    assert_eq!(held, ids.iter().filter(|id| !is_bad(id)).collect(), "{point:?}, seed {seed}");
    let twice: Vec<_> = ledger.keys.iter().filter(|(_, keys)| keys.len() != 1).collect();
    assert!(twice.is_empty(), "{point:?}, seed {seed}: under several keys: {twice:?}");
    assert!(ledger.vouched <= if mute { 3 * lives } else { 0 }, "{point:?}, seed {seed}: {}", ledger.vouched);
    died
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "torture reads the figures")]
async fn wherever_it_dies_each_record_arrives_under_one_key() {
    let seeds = std::env::var("HEYHO_SEEDS").ok().map_or(20, |text| text.parse::<u64>().unwrap());
    let (few, mut all) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for (point, seed) in POINTS.iter().flat_map(|point| (0..seeds).map(|seed| (*point, seed))) {
        let few = few.clone();
        all.spawn(async move {
            let _one_of_few = few.acquire().await.unwrap();
            (point, crash_and_go_on(point, seed).await)
        });
    }
    let mut died = BTreeMap::new();
    while let Some(one) = all.join_next().await {
        let (point, times) = one.unwrap();
        *died.entry(point).or_default() += times;
    }
    println!("figures: {} crashes at {} points", died.values().sum::<u64>(), POINTS.len());
    // Each point was come to, and not by chance alone.
    let seldom: Vec<_> = died.iter().filter(|(_, times)| **times < seeds / 4).collect();
    assert!(seldom.is_empty(), "{seldom:?} of {died:?}");
}
