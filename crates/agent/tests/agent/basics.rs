//! What the agent does from sign-in to sign-out.

use crate::backend::{Mood, backend};
use crate::world::{World, login};
use heyho_agent::{NO_START, start_and_stay, start_or_join};
use heyho_buffer::Buffer;
use heyho_local::socket::Client;
use heyho_local::vocabulary::{
    Companion, Count, FailedPage, FaultCode, Request, Run, RunSummary, Selection, ask,
};
use heyho_records::status::{Account, State, Status};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_delivered_at_sign_in_and_then_all_is_well() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a", "b"]).await;
    let agent = world.start().await;
    let status = agent.until("signed out", |s| s.state == State::SignedOut).await;
    assert_eq!(status.unclaimed, 2);
    let wrong = agent.login("u@x", "wrong password").await.unwrap_err();
    assert_eq!(wrong.code, FaultCode::WrongCredentials);
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    let runs: Vec<Run> = ask(agent.companion.as_ref(), Request::History { limit: 10 }).await.unwrap();
    assert_eq!((runs.len(), runs[0].sent, runs[0].outcome.as_str()), (1, 2, "emptied"));
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_a_host_is_seen_without_a_nudge() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.until("empty", |s| s.unclaimed == 0).await;
    world.append(&["a"]).await;
    agent.until("one record", |s| s.unclaimed == 1).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_proof_deletes_nothing_and_says_so() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    world.append(&["a"]).await;
    for (mood, words) in
        [(Mood::Portal, "web page"), (Mood::Empty, "empty"), (Mood::Fails, "fault of its own")]
    {
        backend.feel(mood);
        // the attempts of a run are spent in well under a minute; Sync now cuts the waits between them short
        let summary = tokio::time::timeout(Duration::from_secs(60), async {
            let mut waiting = tokio::spawn({
                let companion = agent.companion.clone();
                async move { ask::<RunSummary>(companion.as_ref(), Request::Sync { wait: true }).await }
            });
            loop {
                tokio::select! {
                    done = &mut waiting => return done.unwrap().unwrap(),
                    () = backend.received.notified() => {
                        agent.companion.call(Request::Sync { wait: false }).await.unwrap();
                    }
                }
            }
        })
        .await
        .unwrap();
        assert_eq!((summary.sent, summary.waiting), (0, 1), "{words}");
        assert_eq!(summary.fault, Some(FaultCode::BackendUnreachable));
        let says = |s: &Status| s.reason.as_deref().is_some_and(|reason| reason.contains(words));
        let status = agent.until(words, |s| s.state == State::Retrying && says(s)).await;
        assert!(status.next_attempt_at.is_some());
        assert_eq!(status.backlog.records(), 1);
    }
    backend.feel(Mood::Well);
    assert_eq!(agent.sync().await.unwrap().sent, 1);
    assert_eq!(backend.ids("u@x"), ["a"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_the_backend_names_is_set_aside_and_the_rest_goes_on() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Picky);
    world.append(&["a", "bad1", "b", "bad2"]).await;
    let summary = agent.sync().await.unwrap();
    assert_eq!((summary.sent, summary.failed, summary.waiting), (2, 2, 0));
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    agent.until("needs attention", |s| s.state == State::NeedsAttention && s.failed == 2).await;
    let list = || Request::FailedList { after: 0, limit: 10, reason: None };
    let page: FailedPage = ask(agent.companion.as_ref(), list()).await.unwrap();
    assert_eq!(page.total, 2);
    assert!(page.records[0].text.contains("not liked"), "{:?}", page.records[0]);
    // the backend has changed its mind, and the user presses Retry
    backend.feel(Mood::Well);
    let which = Selection::Ids(vec![page.records[0].number]);
    agent.companion.call(Request::FailedRetry { which }).await.unwrap();
    agent.until("one left", |s| s.failed == 1 && s.backlog.records() == 0).await;
    agent.companion.call(Request::FailedDiscard { which: Selection::All, as_of: None }).await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a", "b", "bad1"]);
    agent.agent.shutdown().await;
}

/// The question may stand for minutes, and runs go on.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_while_somebody_is_asked_about_all_is_not_discarded_with_them() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Picky);
    world.append(&["bad1", "bad2"]).await;
    assert_eq!(agent.sync().await.unwrap().failed, 2);
    let list = || Request::FailedList { after: 0, limit: 10, reason: None };
    let asked: FailedPage = ask(agent.companion.as_ref(), list()).await.unwrap();
    assert_eq!(asked.total, 2);
    // One of them is sent again, and fails anew; and one more does.
    let which = Selection::Ids(vec![asked.records[0].number]);
    agent.companion.call(Request::FailedRetry { which }).await.unwrap();
    world.append(&["bad3"]).await;
    agent.sync().await.unwrap();
    agent.until("three failed", |s| s.failed == 3).await;
    for which in [Selection::Reason("rejected_by_backend".to_owned()), Selection::All] {
        let discard = Request::FailedDiscard { which, as_of: asked.as_of };
        ask::<Count>(agent.companion.as_ref(), discard).await.unwrap();
        let left: FailedPage = ask(agent.companion.as_ref(), list()).await.unwrap();
        let ids: Vec<&str> = left.records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, ["bad1", "bad3"]);
    }
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_when_the_agent_ended_is_sent_again_to_the_letter() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Hangs);
    world.append(&["a"]).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;
    drop(agent); // as a crash does: no goodbye
    world.append(&["b"]).await;
    backend.feel(Mood::Well);
    let agent = world.start().await;
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    let seen = backend.seen.lock().unwrap().clone();
    assert_eq!((&seen[0].1, &seen[0].2), (&seen[1].1, &seen[1].2), "the same key and bytes");
    assert_ne!(seen[1].1, seen[2].1);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_account_in_the_middle_of_a_request_carries_nothing_across() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("a@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Hangs);
    world.append(&["of-a"]).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;
    agent.login("b@x", "right password").await.unwrap();
    backend.feel(Mood::Well);
    world.append(&["of-b"]).await;
    agent.sync().await.unwrap();
    assert_eq!((backend.ids("a@x"), backend.ids("b@x")), (vec![], vec!["of-b".to_owned()]));
    let status = agent.until("another account", |s| !s.other_accounts.is_empty()).await;
    assert_eq!((status.other_accounts[0].email.as_str(), status.other_accounts[0].waiting), ("a@x", 1));
    agent.companion.call(Request::Logout).await.unwrap();
    agent.until("signed out", |s| s.state == State::SignedOut).await;
    assert_eq!(agent.sync().await.unwrap_err().code, FaultCode::SignInNeeded);
    agent.login("a@x", "right password").await.unwrap();
    agent.until("delivered", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("a@x"), ["of-a"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_is_said_and_stays_over_after_a_start() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Expired);
    world.append(&["a"]).await;
    let summary = agent.sync().await.unwrap();
    assert_eq!((summary.fault, summary.waiting), (Some(FaultCode::SignInNeeded), 1));
    agent.until("session expired", |s| s.state == State::SessionExpired).await;
    agent.agent.shutdown().await;
    // tokens that are gone are the same
    std::fs::remove_file(world.paths().token_file()).unwrap();
    let agent = world.start().await;
    agent.until("session expired", |s| s.state == State::SessionExpired).await;
    backend.feel(Mood::Well);
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_also_across_a_start_until_it_is_resumed() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    world.append(&["a"]).await;
    assert_eq!(agent.sync().await.unwrap_err().code, FaultCode::TryLater);
    agent.agent.shutdown().await;
    let agent = world.start().await;
    agent.until("paused", |s| s.state == State::Paused && s.backlog.records() == 1).await;
    assert!(backend.ids("u@x").is_empty());
    agent.companion.call(Request::Resume).await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_is_a_client_of_the_first_and_becomes_the_agent_when_that_is_gone() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let first = world.start().await;
    let options = || world.options();
    let second = start_or_join(options()).await.unwrap();
    assert!(second.agent.is_none());
    let status: Status = ask(second.companion.as_ref(), Request::Status).await.unwrap();
    assert_eq!(status.state, State::SignedOut);
    let fault = second.companion.call(Request::Open).await.unwrap_err();
    assert_eq!(fault.code, FaultCode::NoWindow);
    first.agent.shutdown().await;
    assert!(start_or_join(options()).await.unwrap().agent.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_connected_for_as_long_as_its_host_is() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a"]).await;
    let agent = world.start().await;
    agent.until("seen", |s| s.browsers.len() == 1 && !s.browsers[0].connected).await;
    let host = Client::connect(&world.paths().socket()).await.unwrap();
    host.call(Request::Attach { source: "ext#p".into() }).await.unwrap();
    agent.until("connected", |s| s.browsers[0].connected).await;
    drop(host);
    agent.until("gone", |s| !s.browsers[0].connected).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_come_late_are_never_used_for_another_account() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("a@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    // a's session has to be refreshed, and that takes a while; meanwhile b signs in
    backend.slow_refresh.store(true, Ordering::SeqCst);
    backend.feel(Mood::Expired);
    world.append(&["of-a"]).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.refresh_asked.notified().await;
    let login = tokio::spawn({
        let companion = agent.companion.clone();
        async move {
            let login = login("b@x", "right password");
            ask::<Account>(companion.as_ref(), Request::Login(login)).await
        }
    });
    backend.let_go.notify_waiters();
    login.await.unwrap().unwrap();
    backend.let_go.notify_waiters();
    backend.feel(Mood::Well);
    world.append(&["of-b"]).await;
    agent.sync().await.unwrap();
    assert_eq!((backend.ids("a@x"), backend.ids("b@x")), (vec![], vec!["of-b".to_owned()]));
    let stored = std::fs::read_to_string(world.paths().token_file()).unwrap();
    assert!(stored.contains("refresh of b@x") && !stored.contains("a@x"), "{stored}");
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_leaves_the_backend_alone_however_much_waits() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Expired);
    let ids: Vec<String> = (0..250).map(|n| format!("v{n}")).collect();
    world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    agent.until("session expired", |s| s.state == State::SessionExpired && s.backlog.records() == 250).await;
    let asked = || (backend.seen.lock().unwrap().len(), backend.refreshed.load(Ordering::SeqCst));
    let before = asked();
    // each commit of a host makes the agent look at the buffer
    for n in 0..5 {
        world.append(&[&format!("more{n}")]).await;
        agent.until("seen", |s| s.backlog.records() == 251 + n).await;
    }
    assert_eq!(asked(), before);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_stops_until_the_next_regular_run_which_comes() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Fails);
    let ids: Vec<String> = (0..250).map(|n| format!("v{n}")).collect();
    world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    backend.received.notified().await;
    agent.companion.call(Request::Stop).await.unwrap();
    let stopped = agent
        .until("stopped", |s| {
            let ended = s.last_sync.as_ref().is_some_and(|last| last.outcome == "stopped");
            ended && s.state != State::Syncing && s.next_attempt_at.is_some()
        })
        .await;
    assert_eq!(stopped.backlog.records(), 250);
    let before = backend.seen.lock().unwrap().len();
    world.append(&["one-more"]).await;
    agent.until("seen", |s| s.backlog.records() == 251).await;
    assert_eq!(backend.seen.lock().unwrap().len(), before);
    backend.feel(Mood::Well);
    assert_eq!(agent.sync().await.unwrap().sent, 251);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_stays_becomes_the_agent_when_the_one_it_joined_ends() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let first = world.start().await;
    let options = world.options();
    let stayed = start_and_stay(options);
    let mut watch = stayed.companion.watch();
    let signed_out = |s: &Option<Status>| s.as_ref().is_some_and(|s| s.state == State::SignedOut);
    watch.wait_for(signed_out).await.unwrap();
    first.agent.shutdown().await;
    // whoever holds the companion goes on with the same one
    world.append(&["a"]).await;
    watch.wait_for(|s| s.as_ref().is_some_and(|s| s.unclaimed == 1)).await.unwrap();
    let login = login("u@x", "right password");
    stayed.companion.call(Request::Login(login)).await.unwrap();
    watch.wait_for(|s| s.as_ref().is_some_and(|s| s.state == State::UpToDate)).await.unwrap();
    assert_eq!(backend.ids("u@x"), ["a"]);
    stayed.shutdown().await;
    assert!(heyho_agent::AgentLock::take(&world.paths().agent_lock()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_buffer_never_prevents_the_start_and_what_was_saved_is_said() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a", "b"]).await;
    let file = world.paths().buffer();
    let mut bytes = std::fs::read(&file).unwrap();
    for byte in bytes.iter_mut().skip(100).take(3_000) {
        *byte = !*byte;
    }
    std::fs::write(&file, bytes).unwrap();
    let agent = world.start().await;
    let status = agent.until("a status", |_| true).await;
    assert_eq!(status.state, State::SignedOut);
    agent.login("u@x", "right password").await.unwrap();
    let status = agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert!(status.reason.as_ref().unwrap().contains("was damaged"), "{status:?}");
    world.append(&["c"]).await;
    agent.sync().await.unwrap();
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_another_program_met_is_said_at_once() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.until("a status", |s| s.state == State::SignedOut).await;
    Buffer::doubt(&world.paths().buffer()).unwrap();
    let status = agent.until("damaged", |s| s.state == State::BufferProblem).await;
    assert_eq!(status.reason_code.as_deref(), Some("buffer_damaged"));
    agent.agent.shutdown().await;
    let agent = world.start().await;
    agent.until("mended", |s| s.state == State::SignedOut).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_stays_mends_a_buffer_that_was_found_damaged_or_replaced_by_itself() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a"]).await;
    let file = world.paths().buffer();
    let stayed = start_and_stay(world.options());
    let mut watch = stayed.companion.watch();
    let unclaimed = |n: u64| {
        move |s: &Option<Status>| s.as_ref().is_some_and(|s| (s.state, s.unclaimed) == (State::SignedOut, n))
    };
    watch.wait_for(unclaimed(1)).await.unwrap();
    Buffer::doubt(&file).unwrap();
    // The moment between two agents may be over before it is looked at; that it was doubted is over with the second.
    let suspect = file.with_extension("db.suspect");
    watch.wait_for(|s| s.is_none() || !suspect.exists()).await.unwrap();
    // Whoever asks then is answered by the next one.
    while watch.borrow().is_none() {
        stayed.companion.call(Request::Nudge).await.unwrap();
    }
    watch.wait_for(|s| unclaimed(1)(s) && !suspect.exists()).await.unwrap();
    // As a host does that did not know of us.
    let (host, recovery) = {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.truncate(100);
        std::fs::write(&file, bytes).unwrap();
        std::fs::write(file.with_extension("db-wal"), "").unwrap();
        Buffer::open_and_mend(&file, 1).await.unwrap()
    };
    assert!(recovery.is_some());
    host.close().await;
    watch.wait_for(unclaimed(0)).await.unwrap();
    world.append(&["b", "c"]).await;
    watch.wait_for(unclaimed(2)).await.unwrap();
    stayed.shutdown().await;
}

/// A process that was stopped still has its lock and its socket.
#[tokio::test(flavor = "multi_thread")]
async fn beside_an_agent_that_does_not_answer_it_is_said_and_over_once_that_has_ended() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let lock = heyho_agent::AgentLock::take(&world.paths().agent_lock()).unwrap();
    let hung = heyho_local::socket::bind(&world.paths().socket()).unwrap();
    let stayed = start_and_stay(world.options());
    let mut watch = stayed.companion.watch();
    let refused = stayed.companion.call(Request::ConfigGet).await.unwrap_err();
    assert_eq!(refused.code, FaultCode::AgentNotRunning);
    let status = watch.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!(status.reason_code.as_deref(), Some(NO_START));
    assert_eq!(status.reason_args["cause"], "silent");
    drop((hung, lock));
    stayed.again.notify_one();
    watch.wait_for(|s| s.as_ref().is_some_and(|s| s.state == State::SignedOut)).await.unwrap();
    stayed.shutdown().await;
}

/// A folder that is none stands for all of them: a newer schema, a disk that answers with errors.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_does_not_work_is_said_and_works_once_what_prevented_it_is_gone() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let folder = world.paths().data;
    std::fs::write(&folder, "a file in the way").unwrap();
    let stayed = start_and_stay(world.options());
    let mut watch = stayed.companion.watch();
    // Asked before anything is known: it is answered when the start is over.
    let refused = stayed.companion.call(Request::ConfigGet).await.unwrap_err();
    assert_eq!(refused.code, FaultCode::AgentNotRunning);
    let status = watch.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!((status.state, status.reason_code.as_deref()), (State::BufferProblem, Some(NO_START)));
    assert_eq!(status.reason.unwrap(), refused.text);
    std::fs::remove_file(&folder).unwrap();
    stayed.again.notify_one();
    watch.wait_for(|s| s.as_ref().is_some_and(|s| s.state == State::SignedOut)).await.unwrap();
    stayed.companion.call(Request::ConfigGet).await.unwrap();
    stayed.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_there_is_room_again_arrivals_are_taken_also_with_nothing_to_drain() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a"]).await;
    // as a full disk left it, which has room by now
    Buffer::open(&world.paths().buffer()).await.unwrap().release_ballast().unwrap();
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    let buffer = Buffer::open(&world.paths().buffer()).await.unwrap();
    let mut written = buffer.watch().await.unwrap();
    buffer.release_ballast().unwrap();
    agent.sync().await.unwrap();
    // It is seen to once the run is over: a file is closed then.
    while buffer.problem().await.unwrap().is_some() {
        tokio::time::timeout(Duration::from_secs(30), written.written()).await.unwrap();
    }
    world.append(&["b"]).await;
    agent.sync().await.unwrap();
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    agent.agent.shutdown().await;
}

/// Of all threads there is one: whoever waited on it would be waited for by everybody.
#[tokio::test]
async fn while_another_program_changes_the_settings_nobody_else_waits() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    let folder = world.paths().config_file().parent().unwrap().to_owned();
    std::fs::create_dir_all(&folder).unwrap();
    let held = std::fs::File::create(folder.join(".config.toml.lock")).unwrap();
    held.lock().unwrap();
    let companion = agent.companion.clone();
    let set = Request::ConfigSet { key: "sync.interval".into(), value: json!("10m") };
    let changing = tokio::spawn(async move { companion.call(set).await });
    tokio::task::yield_now().await;
    for _ in 0..3 {
        agent.companion.call(Request::Status).await.unwrap();
    }
    assert!(!changing.is_finished());
    drop(held);
    changing.await.unwrap().unwrap();
    agent.agent.shutdown().await;
}

/// The window always says of which moment its list is.
#[tokio::test(flavor = "multi_thread")]
async fn when_all_that_failed_is_discarded_its_traces_go_before_it_is_answered() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    world.append_texts(&[r#"{"id":"bad"}"#.to_owned()], &[]).await;
    agent.until("failed", |s| s.failed == 1).await;
    let page = agent.companion.call(Request::FailedList { after: 0, limit: 10, reason: None }).await.unwrap();
    let as_of = serde_json::from_value(page["asOf"].clone()).unwrap();
    let discard = Request::FailedDiscard { which: Selection::All, as_of };
    assert_eq!(agent.companion.call(discard).await.unwrap()["count"], 1);
    let buffer = heyho_buffer::Buffer::open(&world.paths().buffer()).await.unwrap();
    assert!(!buffer.owes_erasing().await.unwrap());
    buffer.close().await;
    agent.agent.shutdown().await;
}
