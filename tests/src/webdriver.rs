//! A WebDriver program of the world, and one session with it. Used for Chromium and for the app's own window.

use crate::eventually::{BOOT, eventually};
use crate::process::Process;
use crate::world::World;
use anyhow::{Context, Result};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use std::net::TcpListener;
use std::time::Duration;
use tokio::time::timeout;

#[derive(Debug)]
pub struct Driver {
    pub client: Client,
    _process: Process,
}

impl Driver {
    /// Starts the driver on a free port and opens a session with these capabilities.
    pub async fn start(
        world: &World,
        program: &str,
        environment: &[(&str, &str)],
        capabilities: Value,
    ) -> Result<Driver> {
        let port = free_port()?;
        let mut command = world.command(program);
        command.arg(format!("--port={port}")).envs(environment.iter().copied());
        let mut process = world.start(program, command)?;
        let url = format!("http://127.0.0.1:{port}");
        eventually(BOOT, &format!("{program} listens"), async || {
            process.still_runs()?;
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?)
        })
        .await?;
        let capabilities = capabilities.as_object().context("capabilities are an object")?.clone();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        // A driver waits for ever for a program that ended before it was driven.
        let session = timeout(BOOT, builder.capabilities(capabilities).connect(&url)).await;
        let session = session.with_context(|| format!("{program} opened no session"));
        let client = session?.with_context(|| format!("a session with {program}: {}", process.printed()))?;
        Ok(Driver { client, _process: process })
    }

    /// The element that a person would point at, once it is there.
    pub async fn find(&self, css: &str, bound: Duration) -> Result<Element> {
        eventually(bound, &format!("an element {css}"), async || {
            Ok(self.client.find(Locator::Css(css)).await?)
        })
        .await
    }

    /// A click at the element, as soon as it can be clicked.
    pub async fn click(&self, css: &str, bound: Duration) -> Result<()> {
        eventually(bound, &format!("a click on {css}"), async || {
            Ok(self.client.find(Locator::Css(css)).await?.click().await?)
        })
        .await
    }

    /// The text a person reads in an element.
    pub async fn text(&self, css: &str) -> Result<String> {
        Ok(self.client.find(Locator::Css(css)).await?.text().await?)
    }

    /// Ends the session in an orderly way, which ends the browser or the app.
    pub async fn close(self) -> Result<()> {
        Ok(self.client.close().await?)
    }
}

/// A port that was free a moment ago: neither driver can be asked for one in the same way.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
