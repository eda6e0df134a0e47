//! The settings the host needs, read again whenever the file has changed: a privacy rule that was just added
//! must hold for the next record.
//!
//! A mistake in another setting costs no records, and changes no third one (records that are to be held back are): the one
//! that is mistaken stays what it was, or its default. A mistake in the rules themselves, or a file that cannot be
//! read, stores nothing until it is mended: the extension keeps what it has, and what a user wanted kept private is
//! not written down by accident.

use heyho_local::config::{self, Config};
use heyho_records::rules::Rule;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

#[derive(Debug)]
pub struct Settings {
    file: PathBuf,
    seen: Option<(SystemTime, u64)>,
    config: Result<Config, String>,
    /// The last that were good enough to store by.
    held: Config,
}

impl Settings {
    pub fn new(file: PathBuf) -> Settings {
        let (seen, config) = (stamp(&file), load(&file, &Config::default()));
        let held = config.as_ref().cloned().unwrap_or_default();
        Settings { file, seen, config, held }
    }

    /// As they are now, or why nothing may be stored.
    pub fn current(&mut self) -> Result<&Config, &str> {
        let stamp = stamp(&self.file);
        if stamp != self.seen {
            self.seen = stamp;
            self.config = load(&self.file, &self.held);
            if let Ok(config) = &self.config {
                self.held.clone_from(config);
            }
        }
        self.config.as_ref().map_err(String::as_str)
    }

    /// The privacy rules, for the extension to know what it need not even send. None while they cannot be read: that
    /// is not "no rules", and an extension keeps those it knows.
    pub fn rules(&mut self) -> Option<Vec<Rule>> {
        self.current().ok().map(|config| config.rules.clone())
    }

    /// How long records are held back; while the settings cannot be read, as it was before.
    pub fn hold(&mut self) -> Duration {
        let _ = self.current();
        self.held.sync.hold
    }

    /// What the status is judged by, also while the settings cannot be read.
    pub fn interval(&mut self) -> Duration {
        self.current().map_or_else(|_| Config::default().sync.interval, |config| config.sync.interval)
    }
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// With what held before in the place of what is mistaken, but for the rules.
fn load(file: &Path, before: &Config) -> Result<Config, String> {
    let rules = config::rules(file).map_err(|e| format!("{e}; nothing is stored until this is mended"))?;
    let reading = config::read(file);
    if let Some(problem) = &reading.problem {
        tracing::warn!("{problem}; records are stored all the same");
    }
    Ok(Config { rules, ..reading.over(before) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_one_setting_changes_no_other_and_a_mistaken_one_stays_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let mistaken = "[sync]\nhold = '10m'\ninterval = 'now and then'\n";
        std::fs::write(&file, mistaken).unwrap();
        let mut settings = Settings::new(file.clone());
        let hold = |settings: &mut Settings| settings.current().unwrap().sync.hold;
        assert_eq!(hold(&mut settings), Duration::from_secs(600));
        for text in
            ["[sync]\nhold = 'a while'\n", "[[privacy.rules]]\nid = 7\n", "[sync]\nhold = 'some while'\n"]
        {
            std::fs::write(&file, text).unwrap();
            match text.contains("privacy") {
                true => {
                    assert!(settings.current().unwrap_err().contains("nothing is stored"));
                    // Of what was read before the mistake, and is stored after it.
                    assert_eq!(settings.hold(), Duration::from_secs(600), "{text}");
                }
                false => assert_eq!(hold(&mut settings), Duration::from_secs(600), "{text}"),
            }
        }
    }
}
