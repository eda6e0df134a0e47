//! `heyho-backend serve` on its embedded SQLite database, on a port of its own that it keeps over restarts.

use crate::eventually::BOOT;
use crate::process::Process;
use crate::world::World;
use anyhow::{Context, Result};
use std::path::PathBuf;

#[derive(Debug)]
pub struct Backend {
    port: u16,
    process: Process,
}

impl Backend {
    /// On a free port: the backend says which.
    pub async fn start(world: &World) -> Result<Backend> {
        Backend::start_on(world, 0).await
    }

    /// Where another backend, or nothing, listened before.
    pub async fn start_on(world: &World, port: u16) -> Result<Backend> {
        let mut command = world.program("heyho-backend")?;
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        let mut process = world.start("backend", command)?;
        let address = process.line_after("listening on http://", BOOT).await?;
        let said = address.rsplit(':').next().and_then(|p| p.trim_end_matches('/').parse().ok());
        Ok(Backend { port: said.with_context(|| format!("no port in {address:?}"))?, process })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// As a crash ends it; its database stays.
    pub async fn kill(self) -> Result<()> {
        self.process.kill().await
    }
}

/// The database that a backend without configuration makes.
pub fn database(world: &World) -> PathBuf {
    world.data_home().join("heyho-backend/heyho.db")
}
