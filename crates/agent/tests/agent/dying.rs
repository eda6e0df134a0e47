//! The program dies while somebody signs in or out, wherever that waits for the n-th time, until it no longer does: the
//! next start finds the old state or the new one, or sees that the two do not belong together; no row goes to another
//! account than its own, and none is lost. What the disk held at each death is counted: the mixed states are among them.
//! `HEYHO_SEEDS`: at least so many lives.

use crate::backend::backend;
use crate::world::{Running, World, login};
use heyho_buffer::{Arrival, Buffer, SignedIn, Source};
use heyho_local::clock;
use heyho_local::vocabulary::Request;
use heyho_records::status::State;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

const USERS: [&str; 2] = ["a@x", "b@x"];
/// Lives; neither waits half as often.
const MOST: u64 = 100;

/// What was on the disk: whose tokens, and who is signed in.
type Disk = (Option<String>, Option<String>);

async fn disk(world: &World) -> Disk {
    let tokens = std::fs::read(world.paths().token_file()).ok();
    let tokens: Option<serde_json::Value> =
        tokens.map(|bytes| serde_json::from_slice(&bytes).expect("tokens are whole or not there"));
    let buffer = Buffer::open(&world.paths().buffer()).await.unwrap();
    // What the dead one's last transaction came to is certain once another one has been written.
    buffer.set_meta("looked_at", "1").await.unwrap();
    let account = buffer.signed_in().await.unwrap().map(|account| account.r#ref);
    buffer.close().await;
    (tokens.map(|tokens| tokens["account_ref"].as_str().unwrap().to_owned()), account)
}

async fn append(world: &World, url: &str, user: &str, ids: &[String]) {
    let buffer = Buffer::open(&world.paths().buffer()).await.unwrap();
    let texts: Vec<String> = ids
        .iter()
        .map(|id| format!(r#"{{"id":"{id}","url":"http://a/{id}","startedAt":1700000000000}}"#))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let source = Source {
        name: "ext#p".into(),
        profile_id: "p".into(),
        browser: "Chromium".into(),
        client: String::new(),
    };
    let arrival = Arrival::read(Some(reference(url, user)), &texts, &[]);
    buffer.append(&source, &[arrival], 0, clock::system().now_ms()).await.unwrap();
    buffer.close().await;
}

fn reference(url: &str, user: &str) -> String {
    let (backend, user) = (url.to_owned(), user.to_owned());
    SignedIn { backend, user_id: user.clone(), email: user, claim_others: false }.account_ref()
}

/// A life on a runtime of its own, which ends where the request waits for the n-th time. `true`: it was answered before.
async fn dies_at(world: &Arc<World>, request: Request, polls: u64) -> bool {
    let world = world.clone();
    let life = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            let mut options = world.options();
            options.first_run = false;
            let agent = world.start_with(options).await;
            agent.until("it is there", |s| s.agent_running).await;
            let mut work = pin!(agent.companion.call(request));
            let mut polled = 0;
            std::future::poll_fn(|context| {
                polled += 1;
                match work.as_mut().poll(context) {
                    Poll::Ready(answer) => Poll::Ready(answer.is_ok()),
                    Poll::Pending if polled >= polls => Poll::Ready(false),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        });
        // A write of the tokens that has begun comes to its end, as one that the system was given.
        runtime.shutdown_timeout(Duration::from_secs(10));
        answered
    };
    tokio::task::spawn_blocking(life).await.unwrap()
}

/// The next start, left alone until it has done what it does by itself.
async fn next_start(world: &World) -> Running {
    let agent = world.start().await;
    let settled = |state: State| matches!(state, State::UpToDate | State::SignedOut | State::SessionExpired);
    agent.until("the session is what it is", |s| settled(s.state) && s.progress.is_none()).await;
    agent
}

struct Seen {
    answered: u64,
    disks: BTreeMap<Mixed, u64>,
}

/// Two accounts with rows of their own, the first signed in; then one dies at this request.
async fn one(request: impl Fn() -> Request, polls: u64, seen: &mut Seen) {
    let (backend, url) = backend().await;
    let world = Arc::new(World::new(&url));
    let agent = world.start().await;
    for user in USERS.iter().rev() {
        agent.login(user, "right password").await.unwrap();
    }
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent.agent.shutdown().await;
    let ids = |user: &str, of: u64| (0..3).map(|n| format!("{user}-{of}-{n}")).collect::<Vec<_>>();
    for user in USERS {
        append(&world, &url, user, &ids(user, 0)).await;
    }

    seen.answered += u64::from(dies_at(&world, request(), polls).await);
    let (tokens, account) = disk(&world).await;
    let whose = |of: &Option<String>| match of {
        None => "nobody",
        Some(of) => USERS.into_iter().find(|user| reference(&url, user) == *of).unwrap(),
    };
    *seen.disks.entry((whose(&tokens), whose(&account))).or_default() += 1;

    let agent = next_start(&world).await;
    let state = agent.companion.call(Request::Status).await.unwrap()["state"].clone();
    // Whoever is signed in does so with tokens of their own, or is told that the session is over.
    let expected = match (&tokens, &account) {
        (_, None) => "signed_out",
        (tokens, account) if tokens == account => "up_to_date",
        _ => "session_expired",
    };
    assert_eq!(state, expected, "after {polls} polls: {tokens:?}, {account:?}");
    if account.is_none() {
        // "Signed out" is what the buffer says; what was left behind is taken away right after, and no status tells it.
        let gone = async {
            while disk(&world).await != (None, None) {
                tokio::task::yield_now().await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(30), gone).await;
        assert!(gone.is_ok(), "after {polls} polls: what was left behind is still there");
    }
    for user in USERS {
        agent.login(user, "right password").await.unwrap();
        agent.sync().await.unwrap();
        agent.until("delivered", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    }
    for user in USERS {
        let held: BTreeSet<String> = backend.ids(user).into_iter().collect();
        assert_eq!(held, ids(user, 0).into_iter().collect(), "after {polls} polls, of {user}");
    }
    agent.agent.shutdown().await;
}

/// What is on the disk after a death: whose tokens, and who is signed in there.
type Mixed = (&'static str, &'static str);

/// One wait further each time until it waits no more, and again, until each of these was left behind. How often it waits is
/// not the same each time: one that was answered early has not been everywhere.
async fn wherever(request: impl Fn() -> Request, all: [Mixed; 3]) -> Seen {
    let least = std::env::var("HEYHO_SEEDS").ok().map_or(0, |text| text.parse::<u64>().unwrap());
    let mut seen = Seen { answered: 0, disks: BTreeMap::new() };
    let (mut lives, mut polls) = (0, 0);
    while lives < least || seen.answered < 2 || !all.iter().all(|state| seen.disks.contains_key(state)) {
        (lives, polls) = (lives + 1, polls + 1);
        assert!(lives <= least.max(MOST), "{} answered, of {all:?} only {:?}", seen.answered, seen.disks);
        let before = seen.answered;
        one(&request, polls, &mut seen).await;
        // It has been everywhere, but for where it did not wait this time: on a busy machine an answer may be there
        // before it is looked for.
        if seen.answered > before {
            polls = 0;
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_while_somebody_signs_in_mixes_no_accounts() {
    let all = [("a@x", "a@x"), ("b@x", "a@x"), ("b@x", "b@x")];
    let seen = wherever(|| Request::Login(login("b@x", "right password")), all).await;
    println!("figures: sign-in, {} answered, {:?}", seen.answered, seen.disks);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_while_somebody_signs_out_is_signed_out_or_not() {
    let all = [("a@x", "a@x"), ("a@x", "nobody"), ("nobody", "nobody")];
    let seen = wherever(|| Request::Logout, all).await;
    println!("figures: sign-out, {} answered, {:?}", seen.answered, seen.disks);
}
