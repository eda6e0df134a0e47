//! `config.get`, `config.set`, `rules.*`: the settings, in force as soon as they are written.

use super::Service;
use crate::engine::Command;
use heyho_local::config::{self, ConfigError, Reading, TokenStore};
use heyho_local::vocabulary::{Event, Fault, FaultCode, Settings};
use heyho_records::rules::Rule;
use serde_json::Value;
use std::path::Path;

impl Service {
    pub(super) fn config_get(&self) -> Settings {
        config::settings(&self.paths.config_file())
    }

    pub(super) async fn config_set(&self, key: &str, value: &Value) -> Result<Settings, Fault> {
        let _one = self.sessions.lock().await;
        let reading = {
            let (key, value) = (key.to_owned(), value.clone());
            self.changed(move |file| config::set(file, &key, &value)).await?
        };
        self.put_in_force(reading).await?;
        Ok(self.config_get())
    }

    pub(super) async fn rules_add(&self, rule: &Rule) -> Result<Settings, Fault> {
        let _one = self.sessions.lock().await;
        let reading = {
            let rule = rule.clone();
            self.changed(move |file| config::add_rule(file, &rule)).await?
        };
        self.put_in_force(reading).await?;
        Ok(self.config_get())
    }

    pub(super) async fn rules_remove(&self, rule: &Rule) -> Result<Settings, Fault> {
        let _one = self.sessions.lock().await;
        let reading = {
            let rule = rule.clone();
            self.changed(move |file| config::remove_rule(file, &rule)).await?
        };
        self.put_in_force(reading).await?;
        Ok(self.config_get())
    }

    /// Another program may hold the file for seconds, which is waited for where nobody else waits along.
    pub(super) async fn changed(
        &self,
        how: impl FnOnce(&Path) -> Result<Reading, ConfigError> + Send + 'static,
    ) -> Result<Reading, Fault> {
        let file = self.paths.config_file();
        let done = tokio::task::spawn_blocking(move || how(&file)).await;
        Ok(done.map_err(|error| Fault::new(FaultCode::Failed, error.to_string()))??)
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
