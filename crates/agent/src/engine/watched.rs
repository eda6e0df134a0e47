//! The engine's task, watched: a fault of this program in it (a panic) must not end the sending in silence.
//!
//! - It is logged, and said as long as no run has ended since; another engine takes its place after a second, twice as long
//!   after each, five minutes at most, and from a second on again once one has lasted for longer than that.
//! - The commands outlive it. Whoever waited for its run hears that it is lost, and so does whoever asks for one
//!   before the next engine is there. What else is asked for (a sign-in, settings, a pause) the next one finds
//!   where it is kept.
//! - What was under way is as after a death: the batch in flight is in the buffer, with its bytes and key.
//!
//! What the panic says stands on the standard error alone: it may hold a piece of what somebody has read.

use super::{Command, Engine, Parts};
use heyho_records::fault::planted;
use heyho_records::time::timestamp;
use heyho_sync::policy::{AWAY_MOST, FAULT_AGAIN};
use heyho_sync::why::Why;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Runs an engine for as long as the program wants one.
pub async fn watched(parts: Parts, mut commands: mpsc::Receiver<Command>) {
    let (mut pause, mut next) = (FAULT_AGAIN, parts.clone());
    loop {
        let began = Instant::now();
        let engine = async { Engine::new(next).run(&mut commands).await };
        if comes_to_its_end(engine).await || planted("engine-unwatched") {
            return;
        }
        if began.elapsed() > AWAY_MOST {
            pause = FAULT_AGAIN;
        }
        say(&parts, pause);
        if !over(pause, &mut commands).await {
            return;
        }
        pause = (pause * 2).min(AWAY_MOST);
        // As at any start: what waits is tried at once; not by an agent that is there for a command which sends nothing.
        next = parts.clone();
    }
}

/// False: a panic has ended it. Of what it shared nothing is left half changed: locks are taken as they are found, what
/// was written to the buffer and not committed is rolled back.
async fn comes_to_its_end(work: impl Future<Output = ()>) -> bool {
    let mut work = pin!(work);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(|()| true),
        Err(_) => Poll::Ready(false),
    })
    .await
}

fn say(parts: &Parts, pause: Duration) {
    tracing::error!(
        again_in_seconds = pause.as_secs(),
        "a fault of this program has ended the sending (where it is, stands on the standard error); it begins anew"
    );
    let at = parts.clock.now_ms().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
    parts.live.change(|live| {
        live.running = None;
        live.last_end = Some(Why::Internal);
        live.next_attempt_at = Some(timestamp(at));
    });
    // It may have been about to, for another account.
    parts.live.forget_all_delivered();
}

/// Waits, and lets nobody else wait. False: the program ends.
async fn over(pause: Duration, commands: &mut mpsc::Receiver<Command>) -> bool {
    let mut pause = pin!(sleep(pause));
    loop {
        tokio::select! {
            () = &mut pause => return true,
            command = commands.recv() => match command {
                None => return false,
                Some(Command::Shutdown { done }) => {
                    let _ = done.send(());
                    return false;
                }
                // With it goes whoever waited.
                Some(_) => {}
            },
        }
    }
}
