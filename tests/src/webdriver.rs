//! A WebDriver program of the world, and one session with it. Used for browsers and for the app's own window.

use crate::eventually::{BOOT, eventually};
use crate::process::Process;
use crate::world::{World, repository};
use anyhow::{Context, Result};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[derive(Debug)]
pub struct Driver {
    pub client: Client,
    port: u16,
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
        Driver::start_with(world, Path::new(program), &[], environment, capabilities).await
    }

    /// The same with a program from elsewhere and arguments of its own.
    pub async fn start_with(
        world: &World,
        path: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        capabilities: Value,
    ) -> Result<Driver> {
        let port = free_port()?;
        let program = path.file_name().and_then(|name| name.to_str()).context("a program has a name")?;
        let mut command = world.command(path);
        command.arg(format!("--port={port}")).args(arguments).envs(environment.iter().copied());
        let mut process = world.start(program, command)?;
        let url = format!("http://127.0.0.1:{port}");
        eventually(BOOT, &format!("{program} listens"), async || {
            process.still_runs()?;
            Ok(TcpStream::connect(("127.0.0.1", port)).await?)
        })
        .await?;
        let capabilities = capabilities.as_object().context("capabilities are an object")?.clone();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        // A driver waits for ever for a program that ended before it was driven.
        let session = timeout(BOOT, builder.capabilities(capabilities).connect(&url)).await;
        let session = session.with_context(|| format!("{program} opened no session"));
        let client = session?.with_context(|| format!("a session with {program}: {}", process.printed()))?;
        Ok(Driver { client, port, _process: process })
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

    /// What axe finds wrong in the page as it is: with all of its rules, each finding a line.
    pub async fn axe(&self) -> Result<Vec<String>> {
        if self.client.execute("return typeof window.axe", Vec::new()).await? != "object" {
            let source = std::fs::read_to_string(repository("ui/node_modules/axe-core/axe.min.js"))
                .context("axe-core is one of ui's packages")?;
            self.client.execute(&format!("{source}; window.axe = axe;"), Vec::new()).await?;
        }
        let script = "const done = arguments[arguments.length - 1];
             axe.run(document, {resultTypes: ['violations']}).then(
               (found) => done(found.violations.map((v) => v.id + ': ' + v.help + ' at '
                 + v.nodes.map((n) => n.target.join(' ')).join(', '))),
               (error) => done(['axe failed: ' + error]));";
        Ok(serde_json::from_value(self.client.execute_async(script, Vec::new()).await?)?)
    }

    /// A command that only this driver knows, below the session's address.
    pub async fn vendor(&self, path: &str, body: &Value) -> Result<Value> {
        let session = self.client.session_id().await?.context("the session has ended")?;
        let body = body.to_string();
        let request = format!(
            "POST /session/{session}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let answer = timeout(BOOT, whole(&mut stream)).await.with_context(|| path.to_owned())??;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head and a body")?;
        let value: Value = serde_json::from_str(body).with_context(|| answer.clone())?;
        anyhow::ensure!(head.contains(" 200 "), "{path}: {body}");
        Ok(value["value"].clone())
    }

    /// Ends the session in an orderly way, which ends the browser or the app.
    pub async fn close(self) -> Result<()> {
        Ok(self.client.close().await?)
    }
}

/// One answer: a driver may leave the connection open after it.
async fn whole(stream: &mut TcpStream) -> Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = text.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let (Some(length), Some(head)) = (length, head)
            && bytes.len() >= head + 4 + length
        {
            return Ok(text);
        }
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "the answer broke off: {text}");
    }
}

/// A port that was free a moment ago: neither driver can be asked for one in the same way.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
