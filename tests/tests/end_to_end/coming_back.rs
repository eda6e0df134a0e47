//! What changed while a browser was closed: who is signed in, and what is to be kept private. The pages that the browser
//! brings back, and where they lead by now, are looked at as it is now, however long the host takes to say so.

use crate::privacy::{append, places};
use crate::sharing::of_account;
use crate::surfing::{around, look, surfer};
use anyhow::{Result, ensure};
use e2e::browser::{Browser, Kind, Start};
use e2e::companion::{self, PASSWORD, heyho, heyho_reading};
use e2e::stays::{Log, Surfer};
use e2e::world::built;
use e2e::{BOOT, World, eventually, secrets};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// In the name of a site, and in the address and the title of its page.
const CANARY: &str = "canary-restored-6f02d8b17c";

const RULE: &str = r#"
[[privacy.rules]]
id = "r1"
match = "host"
pattern = "*.bank.localhost"
action = "drop"
"#;

#[tokio::test]
async fn what_chromium_brings_back_is_whose_and_as_private_as_it_is_now() -> Result<()> {
    brought_back(Start::new(Kind::Chromium)).await
}

#[tokio::test]
async fn what_firefox_brings_back_is_whose_and_as_private_as_it_is_now() -> Result<()> {
    brought_back(Start::new(Kind::Firefox)).await
}

async fn brought_back(start: Start) -> Result<()> {
    let kind = start.kind;
    let world = World::new()?;
    let around = around(&world).await?;
    let (kept, moves) = (around.pages.url("shared", "kept"), around.pages.at("shared", "moves/away"));
    let mut ada = surfer(&world, &start).await?;
    // In front, each in a window of its own: Firefox loads no others before somebody looks at them.
    ada.go(&kept).await?;
    ada.open_tab(true).await?;
    ada.go(&moves).await?;
    // A browser notes its open tabs every few seconds.
    look(4_000).await;
    ada.quit().await?;
    of_account(&world, companion::EMAIL, &[moves.clone(), kept.clone()]).await?;

    heyho(&world, &["logout"]).await?.expect(0)?;
    let bob = ["login", "--email", "bob@example.org", "--password-stdin", "--register"];
    heyho_reading(&world, &bob, &format!("{PASSWORD}\n")).await?.expect(0)?;
    append(&world.config_home().join("heyho-companion/config.toml"), RULE)?;
    let canary = around.pages.url(&format!("{CANARY}.bank"), CANARY);
    around.pages.moved(&canary);
    let greets = hold_hosts_back(&world).await?;
    let there = async {
        eventually(BOOT, "the browser has brought back what it had open", async || {
            ensure!(around.pages.visited().contains(&canary), "{:?}", around.pages.visited());
            Ok(())
        })
        .await?;
        // Somebody looks at it, and nobody has said yet that it is to be kept private.
        look(2_000).await;
        Ok::<_, anyhow::Error>(std::fs::write(&greets, "")?)
    };
    let again = start.restoring();
    let (browser, ()) = tokio::try_join!(Browser::start(&world, &again), there)?;
    let mut bob = Surfer::at(browser, Log::default()).await?;
    bob.comes_back(&kept).await?;
    look(2_000).await;
    bob.leave_all().await?;
    of_account(&world, "bob@example.org", std::slice::from_ref(&kept)).await?;
    bob.quit().await?;

    // Nothing waits for her that she did not do.
    heyho(&world, &["logout"]).await?.expect(0)?;
    companion::sign_in(&world, &[]).await?;
    of_account(&world, companion::EMAIL, &[moves, kept]).await?;
    for place in places(&world, kind)? {
        let found = secrets::in_files(&place, CANARY)?;
        ensure!(found.is_empty(), "{found:?}");
    }
    world.done();
    Ok(())
}

/// From now on a host that a browser starts says nothing before there is a file of the name that is given back.
async fn hold_hosts_back(world: &World) -> Result<PathBuf> {
    let (folder, greets) = (world.home().join("held-back"), world.home().join("greets"));
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(built("heyho")?, folder.join("heyho"))?;
    let (host, real) = (folder.join("heyho-host"), built("heyho-host")?);
    let wait = format!("until [ -e '{}' ]; do sleep 0.1; done", greets.display());
    std::fs::write(&host, format!("#!/bin/sh\n{wait}\nexec '{}' \"$@\"\n", real.display()))?;
    std::fs::set_permissions(&host, std::fs::Permissions::from_mode(0o700))?;
    let register = world.command(folder.join("heyho")).args(["browsers", "register"]).output().await?;
    ensure!(register.status.success(), "{register:?}");
    Ok(greets)
}
