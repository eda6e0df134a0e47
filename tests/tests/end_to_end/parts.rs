//! What several tests start with: a backend, a signed-in companion, a caller that is known to the host.

use anyhow::{Result, ensure};
use e2e::World;
use e2e::backend::Backend;
use e2e::chromium;
use e2e::companion::{self, Tokens};
use e2e::host::Host;
use e2e::process::Process;
use serde_json::{Value, json};

/// A world without a desktop: backend, agent, and an account that is signed in.
pub struct Headless {
    pub backend: Backend,
    pub agent: Process,
}

pub async fn headless(world: &World) -> Result<Headless> {
    let backend = Backend::start(world).await?;
    let url = backend.url();
    headless_at(world, backend, &url).await
}

/// The same where the companion knows the backend under another address.
pub async fn headless_at(world: &World, backend: Backend, url: &str) -> Result<Headless> {
    companion::configure(world, url, Tokens::File)?;
    let agent = companion::start_agent(world).await?;
    companion::register(world).await?;
    first_run(world).await?;
    Ok(Headless { backend, agent })
}

/// The run that a sign-in begins: it learns what the backend can do, and would take what comes meanwhile.
pub async fn first_run(world: &World) -> Result<()> {
    let over = |status: &Value| status["state"] == "up_to_date";
    companion::status_when(world, "the first run is over", over).await.map(drop)
}

/// The host, as the extension that is shipped starts it, after the greeting.
pub async fn greeted_host(world: &World) -> Result<Host> {
    let mut host = Host::start(world, &chromium::origin()?)?;
    let client = json!({"name": "end-to-end", "version": "1", "browser": "Chromium",
                        "browserVersion": "1", "profileId": "profile-of-this-test"});
    let welcome = host.ask(&json!({"type": "hello", "protocol": 1, "client": client})).await?;
    ensure!(welcome["type"] == "welcome" && welcome["protocol"] == 1, "{welcome}");
    Ok(host)
}

/// A visit as an extension records it. Later ones start later.
pub fn visit(n: usize) -> Value {
    json!({
        "id": format!("visit-{n:05}"),
        "url": format!("https://news.example/{n}?from=test"),
        "title": format!("Page {n} – “quoted” 🎉"),
        "visited_at": 1_790_000_000_000_u64 + 1000 * n as u64,
        "tabId": n % 5,
    })
}

pub fn visits(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(visit).collect()
}

pub fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("visit-{n:05}")).collect()
}

/// Hands visits to the host, and sees that each was kept.
pub async fn hand_over(host: &mut Host, visits: &[Value]) -> Result<()> {
    let answer = host.ask(&json!({"type": "records", "id": "r", "pageVisits": visits})).await?;
    ensure!(answer["type"] == "ack" && answer["stored"] == visits.len(), "{answer}");
    Ok(())
}
