//! What the buffer needs now and then: a site forgotten to its end, what erased records have left behind removed, space
//! given back, the log emptied, the day's timeline noted, old copies removed, and once a week a look at the whole file.
//! Done each quarter of an hour, whether or not anybody is signed in, and after runs; a fault here is said and changes
//! nothing else. A task of its own: with a large file it takes minutes, and the engine listens meanwhile.

use crate::live::Live;
use heyho_buffer::{Buffer, Recovery};
use heyho_local::clock::Clock;
use heyho_records::status::Said;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// One point of the timeline.
pub const QUARTER: Duration = Duration::from_secs(15 * 60);
const DAY_MS: i64 = 24 * 3_600_000;
/// Keys in `meta`: when it was last done, in ms since the epoch.
const COPIES_EXPIRED: &str = "copies_expired_at";
const CHECKED_WHOLE: &str = "checked_whole_at";

/// What it is asked for besides.
#[derive(Debug)]
pub enum Chore {
    /// A run has ended.
    AfterRun { delivered: bool },
    /// The program ends: nothing is to stay behind of what was erased, for nobody knows when it runs again.
    End(oneshot::Sender<()>),
}

#[derive(Debug)]
pub struct Upkeep {
    pub buffer: Buffer,
    pub live: Arc<Live>,
    pub clock: Arc<dyn Clock>,
}

/// For as long as the agent lives.
pub async fn keep_up(upkeep: Upkeep, mut wanted: mpsc::UnboundedReceiver<Chore>, every: Duration) {
    let mut next = Instant::now();
    loop {
        let wanted = tokio::select! {
            () = sleep_until(next) => None,
            wanted = wanted.recv() => match wanted {
                Some(wanted) => Some(wanted),
                None => return,
            },
        };
        match wanted {
            None => {
                upkeep.regularly().await;
                next = Instant::now() + every;
            }
            Some(Chore::AfterRun { delivered }) => {
                if delivered {
                    upkeep.tidy().await;
                }
                upkeep.now_and_then(upkeep.clock.now_ms()).await;
            }
            Some(Chore::End(done)) => {
                if upkeep.owes_erasing().await {
                    upkeep.tidy().await;
                }
                let _ = done.send(());
                return;
            }
        }
    }
}

/// Until any program, a host for instance, has found the file damaged, or has made another: that is said, and who stays
/// starts anew. Wakes when the folder is written to.
pub async fn look_out(buffer: Buffer, live: Arc<Live>) {
    let Ok(mut watch) = buffer.watch().await else { return };
    while !buffer.is_doubted() {
        watch.written().await;
    }
    tracing::error!("the buffer was found damaged, or was replaced: it has to be opened anew");
    live.touch();
}

/// What is said of it meanwhile.
pub fn doubted() -> Said {
    const TEXT: &str =
        "The local store is damaged. What can be read of it is saved when HeyHo Companion is started anew.";
    Said::new("buffer_damaged", TEXT)
}

impl Upkeep {
    async fn regularly(&self) {
        let now = self.clock.now_ms();
        if let Err(error) = self.buffer.sample(now).await {
            tracing::warn!("the timeline could not be noted: {error}");
        }
        // Also where nobody is signed in, and so nothing is sent that would wait for it.
        if let Err(error) = self.buffer.finish_erasures().await {
            tracing::error!("an erasure is not carried out to its end, nothing is sent until it is: {error}");
        }
        if let Err(error) = self.buffer.forget_expired(now).await {
            tracing::warn!("what is older than it is needed could not be forgotten: {error}");
        }
        self.now_and_then(now).await;
        // What others wrote, or kept from being emptied or erased, since the last run that delivered.
        if self.buffer.log_bytes() > 0 || self.owes_erasing().await {
            self.tidy().await;
        }
    }

    async fn owes_erasing(&self) -> bool {
        self.buffer.owes_erasing().await.unwrap_or_default()
    }

    async fn tidy(&self) {
        match self.buffer.tidy().await {
            Ok(tidied) if tidied.log_alarm => {
                tracing::warn!(
                    bytes = tidied.log_bytes,
                    "the write-ahead log does not shrink: a program reads and never ends"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("the buffer could not be tidied: {error}"),
        }
    }

    async fn now_and_then(&self, now: i64) {
        // While the ballast is let go arrivals are refused, so that nothing may be left to drain: whether there
        // is room for a new one is looked at after every run, not only after one that delivered.
        if matches!(self.buffer.problem().await, Ok(Some(_))) {
            self.tidy().await;
            self.live.touch();
        }
        if self.is_due(COPIES_EXPIRED, DAY_MS, now).await {
            match self.buffer.expire_copies(now) {
                Ok(0) => {}
                Ok(copies) => tracing::info!(copies, "copies of over a month ago were removed"),
                Err(error) => tracing::warn!("old copies could not be removed: {error}"),
            }
        }
        if self.is_due(CHECKED_WHOLE, 7 * DAY_MS, now).await {
            if let Err(error) = self.buffer.check_whole().await {
                // Where SQLite has said so, the buffer is doubted from now on.
                tracing::error!("{error}");
                self.live.touch();
            } else if let Err(error) = self.buffer.set_damaged_texts_aside(now).await {
                tracing::warn!("the texts in the buffer could not be checked: {error}");
            }
        }
    }

    /// Whether it is time; it is noted as done now, so that a fault is not repeated at every run.
    async fn is_due(&self, key: &str, every_ms: i64, now: i64) -> bool {
        let last = self.buffer.meta(key).await.ok().flatten().and_then(|ms| ms.parse::<i64>().ok());
        let due = last.is_none_or(|last| !(0..every_ms).contains(&now.saturating_sub(last)));
        due && self.buffer.set_meta(key, &now.to_string()).await.is_ok()
    }
}

/// What to tell people after a damaged file was set aside. Where that is, the window need not know.
pub fn recovered(recovery: &Recovery, erasing: bool) -> String {
    let of = recovery.expected.map_or(String::new(), |expected| format!(" of {expected}"));
    let bad = match recovery.damaged {
        0 => String::new(),
        n => format!(" {n} of them are no longer what was stored; they are among the failed."),
    };
    // An erasure that was owed when they were set aside takes them along, as any later one does.
    let files = match recovery.set_aside.exists() && !erasing {
        true => {
            "The damaged files are kept beside it for thirty days, or until something is deleted for good."
        }
        false => "The damaged files are no longer kept.",
    };
    format!("The local store was damaged. {}{of} records were saved.{bad} {files}", recovery.saved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_buffer::{Arrival, Source, Watch};
    use heyho_local::clock;
    use std::path::Path;

    struct Bench {
        dir: tempfile::TempDir,
        buffer: Buffer,
        written: Watch,
        wanted: mpsc::UnboundedSender<Chore>,
    }

    impl Bench {
        async fn new(every: Duration) -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
            let written = buffer.watch().await.unwrap();
            let (wanted, received) = mpsc::unbounded_channel();
            let upkeep =
                Upkeep { buffer: buffer.clone(), live: Arc::new(Live::default()), clock: clock::system() };
            tokio::spawn(keep_up(upkeep, received, every));
            let mut bench = Bench { dir, buffer, written, wanted };
            // What the first round does last.
            bench.until(|folder| folder.join("ballast").exists()).await;
            bench
        }

        async fn until(&mut self, holds: impl Fn(&Path) -> bool) {
            while !holds(self.dir.path()) {
                tokio::time::timeout(Duration::from_secs(30), self.written.written()).await.unwrap();
            }
        }

        /// One by one, as people do in a list.
        async fn discard_all(&self) {
            let source = Source {
                name: "ext#p".to_owned(),
                profile_id: "p".to_owned(),
                browser: String::new(),
                client: String::new(),
            };
            let visits =
                ["a", "b", "c"].map(|id| format!(r#"{{"id":"{id}","url":"http://canary/","startedAt":1}}"#));
            let arrival = Arrival::read(None, &visits.each_ref().map(String::as_str), &[]);
            self.buffer.append(&source, &[arrival], 0, 1).await.unwrap();
            for row in self.buffer.waiting_page(0, 10, None, 1).await.unwrap().rows {
                assert_eq!(self.buffer.discard_waiting(&[row.number]).await.unwrap(), 1);
            }
        }
    }

    fn holds_the_canary(folder: &Path) -> bool {
        ["buffer.db", "buffer.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(folder.join(name)).unwrap();
            bytes.windows(b"canary".len()).any(|word| word == b"canary")
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_chosen_records_leave_behind_is_removed_the_next_time_round() {
        let mut bench = Bench::new(Duration::from_millis(20)).await;
        bench.discard_all().await;
        bench.until(|folder| !holds_the_canary(folder)).await;
        // It is struck off a moment after the last copy is gone.
        let struck_off = async {
            while bench.buffer.owes_erasing().await.unwrap() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), struck_off).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_chosen_records_leave_behind_is_removed_before_the_program_ends() {
        let bench = Bench::new(Duration::from_secs(3_600)).await;
        bench.discard_all().await;
        assert!(bench.buffer.owes_erasing().await.unwrap());
        assert!(holds_the_canary(bench.dir.path()), "the search finds it");
        let (done, ended) = oneshot::channel();
        bench.wanted.send(Chore::End(done)).unwrap();
        ended.await.unwrap();
        assert!(!holds_the_canary(bench.dir.path()));
    }
}
