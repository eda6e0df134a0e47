//! What the buffer needs now and then: space given back, the log emptied, the day's timeline noted, old copies
//! removed, and once a week a look at the whole file. Done each quarter of an hour, whether or not anybody is
//! signed in, and after runs; a fault here is said and changes nothing else.

use crate::live::Live;
use heyho_buffer::{Buffer, Recovery};
use heyho_local::clock::Clock;
use heyho_records::status::Said;
use std::sync::Arc;
use std::time::Duration;

/// One point of the timeline.
const QUARTER: Duration = Duration::from_secs(15 * 60);
const DAY_MS: i64 = 24 * 3_600_000;
/// Keys in `meta`: when it was last done, in ms since the epoch.
const COPIES_EXPIRED: &str = "copies_expired_at";
const CHECKED_WHOLE: &str = "checked_whole_at";

#[derive(Debug)]
pub struct Upkeep {
    pub buffer: Buffer,
    pub live: Arc<Live>,
}

/// For as long as the agent lives.
pub async fn each_quarter_hour(buffer: Buffer, live: Arc<Live>, clock: Arc<dyn Clock>) {
    let upkeep = Upkeep { buffer, live };
    loop {
        let now = clock.now_ms();
        if let Err(error) = upkeep.buffer.sample(now).await {
            tracing::warn!("the timeline could not be noted: {error}");
        }
        upkeep.now_and_then(now).await;
        // What others wrote, or kept from being emptied or erased, since the last run that delivered.
        if upkeep.buffer.log_bytes() > 0 || upkeep.buffer.owes_erasing().await.unwrap_or_default() {
            upkeep.after_draining().await;
        }
        tokio::time::sleep(QUARTER).await;
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
    /// After a run that delivered something.
    pub async fn after_draining(&self) {
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

    pub async fn now_and_then(&self, now: i64) {
        // While the ballast is let go arrivals are refused, so that nothing may be left to drain: whether there
        // is room for a new one is looked at after every run, not only after one that delivered.
        if matches!(self.buffer.problem().await, Ok(Some(_))) {
            self.after_draining().await;
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
pub fn recovered(recovery: &Recovery) -> String {
    let of = recovery.expected.map_or(String::new(), |expected| format!(" of {expected}"));
    let bad = match recovery.damaged {
        0 => String::new(),
        n => format!(" {n} of them are no longer what was stored; they are among the failed."),
    };
    format!(
        "The local store was damaged. {}{of} records were saved.{bad} The damaged files are kept beside it.",
        recovery.saved,
    )
}
