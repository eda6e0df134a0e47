//! A site is forgotten while a browser is open, and no agent runs: on the real programs.

use crate::parts::{greeted_host, hand_over};
use anyhow::{Result, ensure};
use e2e::companion::{self, Tokens, heyho};
use e2e::{SOON, World, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn open_browsers_are_told_though_no_agent_ran_and_what_was_on_its_way_is_stored_nowhere() -> Result<()>
{
    let world = World::new()?;
    companion::configure(&world, "http://127.0.0.1:9", Tokens::File)?;
    let mut host = greeted_host(&world).await?;
    let visit = |id: &str| json!({"id": id, "url": format!("https://www.gone.example/{id}"), "startedAt": 1_790_000_000_000_u64});
    hand_over(&mut host, &[visit("here")]).await?;
    let forgotten = heyho(&world, &["forget", "gone.example"]).await?.expect(0)?;
    ensure!(forgotten.err.contains("the browsers that are open are told first"), "{forgotten:?}");
    ensure!(forgotten.out.trim() == "1 record about gone.example deleted here.", "{forgotten:?}");
    // The browser is told, and what it had sent before it heard is left out.
    let told = host.read().await?;
    ensure!(told == json!({"type": "forget", "domain": "gone.example"}), "{told}");
    let late = host.ask(&json!({"type": "records", "id": "r", "pageVisits": [visit("late")]})).await?;
    ensure!(late["filtered"] == 1 && late["stored"] == 0, "{late}");
    let left = heyho(&world, &["waiting", "list", "--json"]).await?.expect(0)?.json()?;
    ensure!(left == Value::Array(Vec::new()), "{left}");

    // Nobody is waited for who is not there; who was is named.
    host.hang_up().await?;
    eventually(SOON, "the browser is closed", async || {
        let again = heyho(&world, &["forget", "gone.example"]).await?.expect(0)?;
        ensure!(again.err.is_empty() && again.out.contains("Not reached: Chromium."), "{again:?}");
        Ok(())
    })
    .await?;
    world.done();
    Ok(())
}
