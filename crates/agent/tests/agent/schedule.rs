//! When a run begins: on a clock that is played, so that hours and years pass at once.

use crate::backend::{Mood, backend};
use crate::world::{Played, Running, World};
use heyho_agent::{StartOptions, Surroundings};
use heyho_local::config::Config;
use heyho_local::vocabulary::Request;
use heyho_records::status::State;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

const HOUR: Duration = Duration::from_secs(3_600);
const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// Signed in, with nothing to do, on a clock of its own.
async fn calm(world: &World, clock: &Arc<Played>) -> Running {
    let agent = world.start_with(StartOptions { clock: clock.clone(), ..world.options() }).await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn after_hours_of_sleep_what_waits_is_sent_within_seconds_and_only_once() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let agent = calm(&world, &clock).await;
    world.append(&["a"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    let before = backend.asked.load(Ordering::SeqCst);
    let slept = tokio::time::Instant::now();
    clock.pass(8 * HOUR);
    agent.until("delivered", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    assert!(slept.elapsed() < Duration::from_secs(35), "{:?}", slept.elapsed());
    assert_eq!(backend.ids("u@x"), ["a"]);
    // One batch, and not a request for each interval that was slept through.
    assert!(backend.asked.load(Ordering::SeqCst) - before <= 2);
    agent.agent.shutdown().await;
}

/// A browser that stores again is often the first to wake; and the next run is minutes away.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_sleep_is_noticed_also_where_it_is_a_browser_that_wakes_us() {
    let (_backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let agent = calm(&world, &clock).await;
    world.append(&["a"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    clock.pass(Duration::from_secs(120));
    agent.companion.call(Request::Nudge).await.unwrap();
    agent.until("delivered", |s| s.backlog.records() == 0).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_slept_through_is_sent_again_with_the_same_bytes() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let agent = calm(&world, &clock).await;
    backend.feel(Mood::Hangs);
    world.append(&["a"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;
    // The other end has forgotten the connection, and nobody says so. Hosts go on storing.
    backend.feel(Mood::Well);
    let companion = agent.companion.clone();
    let nudges = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            companion.call(Request::Nudge).await.unwrap();
        }
    });
    clock.pass(HOUR);
    agent.until("delivered", |s| s.backlog.records() == 0).await;
    nudges.abort();
    let seen = backend.seen.lock().unwrap().clone();
    assert_eq!((&seen[0].1, &seen[0].2), (&seen[1].1, &seen[1].2), "the same key and bytes");
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_a_year_either_way_stops_nothing_and_starts_no_storm() {
    let (backend, url) = backend().await;
    for jump in [YEAR_MS, -YEAR_MS] {
        let (world, clock) = (World::new(&url), Played::new());
        let agent = calm(&world, &clock).await;
        let before = backend.asked.load(Ordering::SeqCst);
        clock.set_wall_on(jump);
        let id = format!("after{jump}");
        world.append(&[&id]).await;
        agent.until("seen", |s| s.backlog.records() == 1).await;
        // The schedule goes by the other clock: nothing is due.
        assert_eq!(backend.asked.load(Ordering::SeqCst), before);
        for _ in 0..20 {
            clock.pass(Duration::from_secs(20));
            agent.companion.call(Request::Nudge).await.unwrap();
        }
        agent.until("delivered", |s| s.backlog.records() == 0).await;
        assert!(backend.ids("u@x").contains(&id));
        let asked = backend.asked.load(Ordering::SeqCst) - before;
        assert!(asked <= 4, "{asked} requests in seven minutes");
        // The session goes on too, though its tokens seem to have ended, or to end in a year.
        let summary = agent.sync().await.unwrap();
        assert_eq!(summary.fault, None, "{summary:?}");
        agent.agent.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_network_is_back_a_run_comes_long_before_its_time() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let online = |online| Surroundings { online: Some(online), ..Surroundings::default() };
    let (tell, hear) = watch::channel(online(true));
    let options = StartOptions { clock: clock.clone(), surroundings: Some(hear), ..world.options() };
    let agent = world.start_with(options).await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    world.append(&["a"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    // Away and back, until the agent has seen both; and well before the regular run, five minutes after the last.
    let mut watch = agent.companion.watch();
    let mut passed = Duration::ZERO;
    loop {
        tell.send_modify(|around| around.online = around.online.map(|online| !online));
        let delivered = watch.wait_for(|s| s.as_ref().is_some_and(|s| s.backlog.records() == 0));
        if tokio::time::timeout(Duration::from_millis(300), delivered).await.is_ok() {
            break;
        }
        passed += Duration::from_secs(10);
        assert!(passed < Duration::from_secs(250), "only the regular run is left");
        clock.pass(Duration::from_secs(10));
    }
    assert_eq!(backend.ids("u@x"), ["a"]);
    agent.agent.shutdown().await;
}

/// It failed for long, so that the next run is minutes away; and the network comes back while one is failing.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_comes_back_during_a_run_is_not_forgotten_when_that_fails() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let online = |online| Surroundings { online: Some(online), ..Surroundings::default() };
    let (tell, hear) = watch::channel(online(false));
    let options = StartOptions { clock: clock.clone(), surroundings: Some(hear), ..world.options() };
    let agent = world.start_with(options).await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::SlowFails);
    world.append(&["a"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    let request = async || {
        // Past whatever is waited for.
        let asked = backend.received.notified();
        tokio::pin!(asked);
        loop {
            clock.pass(Duration::from_secs(80));
            agent.companion.call(Request::Nudge).await.unwrap();
            if tokio::time::timeout(Duration::from_millis(100), &mut asked).await.is_ok() {
                break;
            }
        }
    };
    // The first run tries five times, the others once.
    for _ in 0..12 {
        request().await;
        backend.let_go.notify_one();
    }
    request().await;
    backend.feel(Mood::Well);
    tell.send_replace(online(true));
    backend.let_go.notify_one();
    let mut passed = 0;
    let mut watch = agent.companion.watch();
    loop {
        let delivered = watch.wait_for(|s| s.as_ref().is_some_and(|s| s.backlog.records() == 0));
        if tokio::time::timeout(Duration::from_millis(500), delivered).await.is_ok() {
            break;
        }
        passed += 5;
        assert!(passed <= 60, "{passed} s and nothing was tried");
        clock.pass(Duration::from_secs(5));
        agent.companion.call(Request::Nudge).await.unwrap();
    }
    agent.agent.shutdown().await;
}

/// Asked for while a run goes on, and not yet seen to be done: three answers later it has been heard of.
async fn heard_of(agent: &Running) {
    for _ in 0..3 {
        agent.companion.call(Request::Status).await.unwrap();
    }
}

/// The network comes back during the batch in flight, after it, and the machine sleeps: the user's word holds until the
/// next regular run.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_no_run_begins_before_its_regular_time_whatever_changes() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let around = |online, metered| Surroundings { online: Some(online), metered, ..Surroundings::default() };
    let (tell, hear) = watch::channel(around(false, false));
    let mut options = StartOptions { clock: clock.clone(), surroundings: Some(hear), ..world.options() };
    let text =
        format!("[backend]\nurl = \"{url}\"\n[tokens]\nstore = \"file\"\n[sync]\npause_on_metered = true\n");
    options.config = Config::parse(&text, "config.toml").unwrap();
    let agent = world.start_with(options).await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Slow);
    // More than one batch; what is left begins no run by itself.
    let ids: Vec<String> = (0..150).map(|n| format!("v{n:03}")).collect();
    world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    agent.until("seen", |s| s.backlog.records() == 150).await;
    // The backlog has begun a run, or this does.
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;
    agent.companion.call(Request::Stop).await.unwrap();
    tell.send_replace(around(true, false));
    heard_of(&agent).await;
    backend.feel(Mood::Well);
    backend.let_go.notify_one();
    agent.until("one batch", |s| s.progress.is_none() && s.backlog.records() == 50).await;
    let asked = backend.asked.load(Ordering::SeqCst);
    let mut watch = agent.companion.watch();
    let changes = [(around(false, false), 30), (around(true, false), 100), (around(true, true), 30)];
    for (changed, seconds) in changes.into_iter().chain([(around(true, false), 30)]) {
        tell.send_replace(changed);
        // Longer than any of them waits for, and once as long as a sleep.
        clock.pass(Duration::from_secs(seconds));
        agent.companion.call(Request::Nudge).await.unwrap();
        let more = watch.wait_for(|s| s.as_ref().is_some_and(|s| s.backlog.records() < 50));
        assert!(tokio::time::timeout(Duration::from_millis(700), more).await.is_err(), "{changed:?}");
    }
    assert_eq!(backend.asked.load(Ordering::SeqCst), asked);
    clock.pass(Duration::from_secs(150));
    agent.companion.call(Request::Nudge).await.unwrap();
    agent.until("delivered", |s| s.backlog.records() == 0).await;
    agent.agent.shutdown().await;
}

/// Also where it is an error of the backend that ends the run. A sign-in is a word of its own: what it may not do at once, for
/// the connection is metered, it does when that ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_holds_however_its_run_ends_and_until_somebody_signs_in() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let around = |online, metered| Surroundings { online: Some(online), metered, ..Surroundings::default() };
    let (tell, hear) = watch::channel(around(false, false));
    let mut options = StartOptions { clock: clock.clone(), surroundings: Some(hear), ..world.options() };
    let text =
        format!("[backend]\nurl = \"{url}\"\n[tokens]\nstore = \"file\"\n[sync]\npause_on_metered = true\n");
    options.config = Config::parse(&text, "config.toml").unwrap();
    let agent = world.start_with(options).await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::SlowForbids);
    world.append(&["a"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;
    agent.companion.call(Request::Stop).await.unwrap();
    heard_of(&agent).await;
    backend.let_go.notify_one();
    agent.until("refused", |s| s.progress.is_none() && s.reason_code.as_deref() == Some("forbidden")).await;
    backend.feel(Mood::Well);
    tell.send_replace(around(true, false));
    heard_of(&agent).await;
    clock.pass(Duration::from_secs(100));
    agent.companion.call(Request::Nudge).await.unwrap();
    let mut watch = agent.companion.watch();
    let delivered = watch.wait_for(|s| s.as_ref().is_some_and(|s| s.backlog.records() == 0));
    assert!(tokio::time::timeout(Duration::from_millis(700), delivered).await.is_err());
    tell.send_replace(around(true, true));
    agent.until("held back", |s| s.state == State::Paused).await;
    agent.login("u@x", "right password").await.unwrap();
    assert!(backend.ids("u@x").is_empty());
    tell.send_replace(around(true, false));
    agent.until("delivered", |s| s.backlog.records() == 0).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_session_ends_while_the_network_comes_back_no_next_attempt_is_named() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let online = |online| Surroundings { online: Some(online), ..Surroundings::default() };
    let (tell, hear) = watch::channel(online(false));
    let options = StartOptions { clock: clock.clone(), surroundings: Some(hear), ..world.options() };
    let agent = world.start_with(options).await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Expired);
    backend.slow_refresh.store(true, Ordering::SeqCst);
    world.append(&["a"]).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.refresh_asked.notified().await;
    tell.send_replace(online(true));
    heard_of(&agent).await;
    backend.let_go.notify_one();
    let over = agent.until("over", |s| s.state == State::SessionExpired && s.progress.is_none()).await;
    assert_eq!(over.next_attempt_at, None);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_asked_for_a_metered_connection_holds_runs_back_but_not_sync_now() {
    let (backend, url) = backend().await;
    let mut world = World::new(&url);
    let text =
        format!("[backend]\nurl = \"{url}\"\n[tokens]\nstore = \"file\"\n[sync]\npause_on_metered = true\n");
    world.config = Config::parse(&text, "config.toml").unwrap();
    let metered = |metered| Surroundings { metered, ..Surroundings::default() };
    let (tell, hear) = watch::channel(metered(true));
    let agent = world.start_with(StartOptions { surroundings: Some(hear), ..world.options() }).await;
    agent.login("u@x", "right password").await.unwrap();
    let ids: Vec<String> = (0..150).map(|n| format!("v{n:03}")).collect();
    world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // More than the number that begins a run by itself.
    let status = agent.until("held back", |s| s.state == State::Paused && s.backlog.records() == 150).await;
    assert!(status.reason.as_ref().unwrap().contains("metered"), "{status:?}");
    assert!(backend.ids("u@x").is_empty());
    assert_eq!(agent.sync().await.unwrap().sent, 150);
    world.append(&["one-more"]).await;
    agent.until("held back again", |s| s.state == State::Paused && s.backlog.records() == 1).await;
    tell.send_replace(metered(false));
    agent.until("delivered", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_in_a_pause_is_waited_for_and_not_asked_after_in_a_circle() {
    let (_backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let agent = calm(&world, &clock).await;
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    agent.until("paused", |s| s.state == State::Paused).await;
    clock.pass(HOUR);
    // Whatever is written wakes the engine: from here on it knows that a run is due.
    world.append(&["a"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    let before = clock.looks.load(Ordering::SeqCst);
    let _ = tokio::time::timeout(Duration::from_secs(2), std::future::pending::<()>()).await;
    let looks = clock.looks.load(Ordering::SeqCst) - before;
    assert!(looks < 100, "the clock was looked at {looks} times in two seconds");
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_until_a_time_ends_by_itself_and_resuming_forgets_the_backoff() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let agent = calm(&world, &clock).await;
    agent.companion.call(Request::Pause { seconds: Some(3_600) }).await.unwrap();
    let paused = agent.until("paused", |s| s.state == State::Paused).await;
    assert!(paused.paused_until.is_some());
    world.append(&["a"]).await;
    clock.pass(HOUR + Duration::from_secs(1));
    agent.until("delivered", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    // The backend fails, and the next try is minutes away; whoever resumes wants it now.
    backend.feel(Mood::Portal);
    world.append(&["b"]).await;
    let companion = agent.companion.clone();
    tokio::spawn(async move { companion.call(Request::Sync { wait: false }).await });
    let hurry = async {
        loop {
            backend.received.notified().await;
            // Cuts the waits between the attempts short.
            agent.companion.call(Request::Sync { wait: false }).await.unwrap();
            if agent.companion.watch().borrow().as_ref().is_some_and(|s| s.state == State::Retrying) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), hurry).await;
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    agent.until("paused", |s| s.state == State::Paused).await;
    backend.feel(Mood::Well);
    agent.companion.call(Request::Resume).await.unwrap();
    agent.until("delivered", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    agent.agent.shutdown().await;
}
