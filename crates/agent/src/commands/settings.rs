//! `config.get`, `config.set`, `rules.*`: the settings, in force as soon as they are written.

use super::Service;
use crate::engine::Command;
use heyho_local::config::{self, Reading, TokenStore};
use heyho_local::vocabulary::{Event, Fault, Settings};
use heyho_records::rules::Rule;
use serde_json::Value;

impl Service {
    pub(super) fn config_get(&self) -> Settings {
        config::settings(&self.paths.config_file())
    }

    pub(super) async fn config_set(&self, key: &str, value: &Value) -> Result<Settings, Fault> {
        let _one = self.sessions.lock().await;
        let reading = config::set(&self.paths.config_file(), key, value)?;
        self.put_in_force(reading).await?;
        Ok(self.config_get())
    }

    pub(super) async fn rules_add(&self, rule: &Rule) -> Result<Settings, Fault> {
        let _one = self.sessions.lock().await;
        let reading = config::add_rule(&self.paths.config_file(), rule)?;
        self.put_in_force(reading).await?;
        Ok(self.config_get())
    }

    pub(super) async fn rules_remove(&self, rule: &Rule) -> Result<Settings, Fault> {
        let _one = self.sessions.lock().await;
        let reading = config::remove_rule(&self.paths.config_file(), rule)?;
        self.put_in_force(reading).await?;
        Ok(self.config_get())
    }

    /// Hosts read the file by themselves; here everything else hears of it. A mistake that stands elsewhere in the
    /// file keeps what held there.
    async fn put_in_force(&self, reading: Reading) -> Result<(), Fault> {
        let config = reading.over(&self.config());
        let before = self.config.send_replace(config.clone());
        if before.tokens != config.tokens {
            if config.tokens == TokenStore::File {
                tracing::warn!(
                    "tokens are kept in a file from now on, readable by every program of this user"
                );
            }
            self.keeper.move_to(crate::start::store(config.tokens, &self.paths)).await;
        }
        self.buffer.set_cap(config.buffer_max_bytes);
        self.tell(Command::Settings(Box::new(config))).await?;
        self.live.touch();
        self.live.push(Event::Settings);
        Ok(())
    }
}
