//! Tokens are in the Secret Service and nowhere else.

use crate::parts::{greeted_host, hand_over, visits};
use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, EMAIL, PASSWORD, Tokens, heyho, status};
use e2e::rows::Rows;
use e2e::tour::bad_visit;
use e2e::window::Window;
use e2e::{SOON, World, desktop, eventually, secrets};
use serde_json::json;

/// All that is ever logged.
fn log_everything(world: &World) -> Result<()> {
    let settings = world.config_home().join("heyho-companion/config.toml");
    let text = std::fs::read_to_string(&settings)?;
    Ok(std::fs::write(&settings, format!("{text}\n[log]\nlevel = \"trace\"\n"))?)
}

#[tokio::test]
async fn tokens_are_in_the_secret_service_and_in_no_file_log_or_command_line() -> Result<()> {
    let mut world = World::new()?;
    let _bus = desktop::bus(&mut world).await?;
    let _keyring = desktop::keyring(&world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::Keyring)?;
    log_everything(&world)?;
    let agent = companion::start_agent(&world).await?;
    companion::register(&world).await?;
    // Every program has used them by now: a run with records, a restart that reads them back.
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..5)).await?;
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;
    agent.kill().await?;
    let _agent = companion::start_agent(&world).await?;
    hand_over(&mut host, &visits(5..9)).await?;
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;

    let logged = secrets::in_files(world.dir(), "DEBUG heyho_sync::driver: answered")?;
    ensure!(!logged.is_empty(), "the log was not written at every level");
    let kept = desktop::secrets(&world).await?;
    let mut tokens = secrets::tokens_in(&kept);
    ensure!(tokens.len() >= 2, "an access and a refresh token in {} secrets", kept.len());
    tokens.push(PASSWORD.to_owned());
    for token in &tokens {
        let mut found = secrets::in_files(world.dir(), token)?;
        found.extend(secrets::in_files(&world.runtime(), token)?);
        found.extend(secrets::in_command_lines(&world, token)?);
        ensure!(found.is_empty(), "a token is in {found:?}");
        // And the search does find one that is there.
        let planted = world.dir().join("home/planted");
        std::fs::write(&planted, format!("Authorization: Bearer {token}"))?;
        ensure!(secrets::in_files(world.dir(), token)?.len() == 1);
        std::fs::remove_file(planted)?;
    }

    heyho(&world, &["logout"]).await?.expect(0)?;
    ensure!(status(&world).await?["state"] == "signed_out");
    let left = secrets::tokens_in(&desktop::secrets(&world).await?);
    ensure!(left.is_empty(), "{} tokens are left after the sign-out", left.len());
    world.done();
    Ok(())
}

async fn in_no_view(window: &Window, tokens: &[&str]) -> Result<()> {
    for view in ["failed", "browsers", "history", "settings", "overview"] {
        window.click(&format!("tab-{view}")).await?;
        window.painted().await?;
        let found = secrets::in_texts(view, &window.all_it_knows().await?, tokens);
        ensure!(found.is_empty(), "a token is in {found:?}");
    }
    Ok(())
}

/// With something in every view: first as the client of an agent without a window, then as the agent itself.
#[tokio::test]
async fn the_open_window_is_told_no_token_keeps_none_and_writes_none_down_in_any_view() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let _keyring = desktop::keyring(&world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::Keyring)?;
    log_everything(&world)?;
    let agent = companion::start_agent(&world).await?;
    let window = Window::start(&world).await?;
    // Typed in it, and then forgotten by it.
    window.register(EMAIL, PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..5)).await?;
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;
    let refused = json!({"type": "records", "id": "bad", "pageVisits": [bad_visit(0)]});
    ensure!(host.ask(&refused).await?["type"] == "ack");
    window.shows("status-head", "data-state", "needs_attention").await?;

    let kept = desktop::secrets(&world).await?;
    let mut tokens = secrets::tokens_in(&kept);
    ensure!(tokens.len() >= 2, "an access and a refresh token in {} secrets", kept.len());
    tokens.push(PASSWORD.to_owned());
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    in_no_view(&window, &tokens).await?;
    ensure!(agent.terminate().await?.success());
    hand_over(&mut host, &visits(5..9)).await?;
    window.click("sync-now").await?;
    eventually(SOON, "what the window's own agent has sent", async || {
        let stored = Rows::open(&world).await?.visits().await?;
        ensure!(stored == 9, "{stored}");
        Ok(())
    })
    .await?;
    in_no_view(&window, &tokens).await?;
    // And the search does find one that is there.
    window.value(&format!("document.body.dataset.planted = {:?}", tokens[0])).await?;
    ensure!(!secrets::in_texts("planted", &window.all_it_knows().await?, &tokens).is_empty());
    window.value("delete document.body.dataset.planted").await?;
    // What it has written down by now, the web view's own files too.
    for dir in [world.dir(), &world.runtime()] {
        let found: Vec<_> = secrets::all_in_files(dir, &tokens)?.into_iter().flatten().collect();
        ensure!(found.is_empty(), "a token is in {found:?}");
    }
    window.close().await?;
    world.done();
    Ok(())
}
