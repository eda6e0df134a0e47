//! Whether the privacy rules can be read: while they cannot, every host takes nothing from its browser (a page that a rule
//! was to keep out must not be written down by accident), and nobody would see it here, where all is delivered.
//!
//! The settings are the agent's own from its start on; this file is changed by hand as well, and hosts read it at each
//! record.

use crate::live::Live;
use heyho_local::config;
use heyho_records::status::Said;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Each look wakes the processor.
pub const LOOK: Duration = Duration::from_secs(30);

/// For as long as the agent lives: now and then, and whenever settings were changed through it.
pub async fn look_at_rules(file: PathBuf, live: Arc<Live>, every: Duration) {
    let mut events = live.events();
    let mut seen = None;
    loop {
        let stamp = std::fs::metadata(&file).ok().and_then(|it| Some((it.modified().ok()?, it.len())));
        if seen != Some(stamp) {
            seen = Some(stamp);
            let mistake = config::rules(&file).err().map(|error| {
                tracing::error!("{error}; no host stores anything until this is mended");
                mistaken()
            });
            if live.read().rules != mistake {
                live.change(|live| live.rules = mistake);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            // Of whatever: to look costs nothing then.
            event = events.recv() => if matches!(event, Err(RecvError::Closed)) { return },
        }
    }
}

fn mistaken() -> Said {
    const TEXT: &str = "The privacy rules in the settings cannot be read, so nothing is taken from any browser until \
         that is mended: heyho doctor says where. Records wait safely in the browsers.";
    Said::new("rules_mistaken", TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_local::vocabulary::Event;

    #[tokio::test]
    async fn a_mistake_made_by_hand_is_said_and_said_no_more_when_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let live = Arc::new(Live::default());
        let rule = |kind: &str| {
            format!("[[privacy.rules]]\nid = 'b'\nmatch = '{kind}'\npattern = 'x'\naction = 'drop'\n")
        };
        let says = async |wanted: Option<&str>| {
            let said = async {
                while live.read().rules.map(|said| said.code).as_deref() != wanted {
                    live.changed().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), said).await.unwrap();
        };
        std::fs::write(&file, rule("hots")).unwrap();
        let looking = tokio::spawn(look_at_rules(file.clone(), live.clone(), Duration::from_millis(20)));
        says(Some("rules_mistaken")).await;
        std::fs::write(&file, rule("url") + "# mended\n").unwrap();
        says(None).await;
        std::fs::write(&file, "this is no settings file").unwrap();
        says(Some("rules_mistaken")).await;
        looking.abort();

        // Without waiting for the next look where the settings were changed through the agent.
        std::fs::write(&file, rule("url")).unwrap();
        let looking = tokio::spawn(look_at_rules(file.clone(), live.clone(), Duration::from_secs(3_600)));
        says(None).await;
        std::fs::write(&file, rule("hots") + "# again\n").unwrap();
        live.push(Event::Settings);
        says(Some("rules_mistaken")).await;
        looking.abort();
    }
}
