//! Tokens are in the Secret Service and nowhere else.

use crate::parts::{greeted_host, hand_over, visits};
use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, Tokens, heyho, status};
use e2e::{World, desktop, secrets};

#[tokio::test]
async fn tokens_are_in_the_secret_service_and_in_no_file_log_or_command_line() -> Result<()> {
    let mut world = World::new()?;
    let _bus = desktop::bus(&mut world).await?;
    let _keyring = desktop::keyring(&world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::Keyring)?;
    // Everything that is ever logged.
    let settings = world.config_home().join("heyho-companion/config.toml");
    let text = std::fs::read_to_string(&settings)?;
    std::fs::write(&settings, format!("{text}\n[log]\nlevel = \"trace\"\n"))?;
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
    tokens.push(companion::PASSWORD.to_owned());
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
