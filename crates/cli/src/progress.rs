//! How far a long command has come, on standard error: a bar on a terminal, else a line now and then, so that a log of it
//! shows that it goes on.

use heyho_records::status::{Progress, Status};
use heyho_records::words::{count, number};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Lines of a file between two words about it.
const STEPS: u64 = 10_000;
/// Between two words about a run.
pub const NOW_AND_THEN: Duration = Duration::from_secs(10);

/// On a terminal; otherwise one that shows nothing.
fn on_a_terminal(make: impl FnOnce() -> ProgressBar, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = make();
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Of a run: done, of all there is, and how long it takes.
pub fn of_a_run() -> ProgressBar {
    on_a_terminal(|| ProgressBar::new(0), "{bar:30} {pos} of {len} {msg}")
}

/// What a bar shows, as a line.
fn line(progress: &Progress) -> String {
    let left = progress.eta_seconds.map_or(String::new(), |s| format!(", about {s} s left"));
    format!("sending {} of {}{left}", number(progress.done), number(progress.total))
}

/// Draws a run as it is told, or says a line each time that long has passed and it has come further.
pub async fn draw(
    bar: ProgressBar,
    mut told: watch::Receiver<Option<Status>>,
    every: Duration,
    say: impl Fn(String),
) {
    let (mut next, mut said) = (tokio::time::Instant::now() + every, None);
    loop {
        let progress = told.borrow_and_update().as_ref().and_then(|status| status.progress.clone());
        if let Some(progress) = &progress {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(progress.eta_seconds.map_or(String::new(), |s| format!("about {s} s left")));
        }
        tokio::select! {
            changed = told.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(next), if bar.is_hidden() => {
                next += every;
                if let Some(progress) = progress.filter(|progress| said != Some(progress.done)) {
                    said = Some(progress.done);
                    say(line(&progress));
                }
            }
        }
    }
}

/// Lines that are written to a file or read from one.
#[derive(Debug)]
pub struct Steps {
    verb: &'static str,
    bar: ProgressBar,
    done: AtomicU64,
}

impl Steps {
    pub fn new(verb: &'static str) -> Steps {
        let bar = on_a_terminal(ProgressBar::no_length, "{spinner} {pos} {msg}");
        bar.set_message(format!("lines {verb}"));
        Steps { verb, bar, done: AtomicU64::new(0) }
    }

    pub fn one_more(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_position(done);
        if self.bar.is_hidden() && done.is_multiple_of(STEPS) {
            eprintln!("heyho: {} {}", count(done, "line"), self.verb);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_terminal_a_run_says_now_and_then_how_far_it_has_come() {
        let at = |done| {
            let progress = Some(Progress { done, total: 48_310, eta_seconds: Some(40) });
            Some(Status { progress, ..Status::broken("", true) })
        };
        let (tell, told) = watch::channel(None);
        let (said, mut lines) = tokio::sync::mpsc::unbounded_channel();
        let drawing =
            draw(ProgressBar::hidden(), told, Duration::from_millis(10), move |line| drop(said.send(line)));
        let drawing = tokio::spawn(drawing);
        for (done, expected) in
            [(1_200, "sending 1,200 of 48,310, about 40 s left"), (2_400, "sending 2,400 of")]
        {
            tell.send_replace(at(done));
            assert!(lines.recv().await.unwrap().starts_with(expected));
        }
        // One that does not come further says it once.
        tell.send_replace(at(2_400));
        tell.send_replace(at(9_000));
        assert!(lines.recv().await.unwrap().starts_with("sending 9,000 of"));
        drop(tell);
        drawing.await.unwrap();
    }
}
