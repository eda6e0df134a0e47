//! Several browsers and profiles on one buffer, and several people at one of them.

use crate::surfing::{Around, all_arrived, around, delivered, look, surfer};
use anyhow::{Context, Result, ensure};
use e2e::browser::{Kind, Start};
use e2e::companion::{self, PASSWORD, heyho, heyho_reading};
use e2e::host::end_all;
use e2e::rows::Rows;
use e2e::stays::Surfer;
use e2e::{BOOT, SOON, World, eventually};

#[tokio::test]
async fn three_profiles_and_both_browsers_at_once_on_one_buffer() -> Result<()> {
    let world = World::new()?;
    let around = around(&world).await?;
    let (one, two, three) =
        (Start::new(Kind::Chromium), Start::new(Kind::Chromium).profile("second"), Start::new(Kind::Firefox));
    let (one, two, three) =
        tokio::try_join!(surfer(&world, &one), surfer(&world, &two), surfer(&world, &three))?;
    let (mut one, mut two, mut three) = (one, two, three);
    tokio::try_join!(
        surf(&mut one, &around, "first"),
        surf(&mut two, &around, "second"),
        surf(&mut three, &around, "third"),
    )?;
    // All three at this moment, each under its own name.
    let status = companion::status_when(&world, "three profiles are connected", |status| {
        let browsers = status["browsers"].as_array().map(Vec::as_slice).unwrap_or_default();
        browsers.iter().filter(|browser| browser["connected"] == true).count() == 3
    })
    .await?;
    let rows = heyho(&world, &["browsers", "list", "--json"]).await?.expect(0)?.json()?;
    let row = |name: &str| {
        let rows = rows.as_array().context("an array")?;
        rows.iter().find(|row| row["browser"] == name).with_context(|| format!("{name} in {rows:?}"))
    };
    for (name, profiles) in [("chromium", 2), ("firefox", 1)] {
        let row = row(name)?;
        ensure!(row["state"] == "connected", "{row}; {status}");
        ensure!(row["profiles"].as_array().is_some_and(|all| all.len() == profiles), "{row}");
    }
    let mut log = one.log;
    log.absorb(two.log);
    log.absorb(three.log);
    all_arrived(&world, &log).await?;
    world.done();
    Ok(())
}

async fn surf(surfer: &mut Surfer, around: &Around, site: &str) -> Result<()> {
    for page in ["a", "b", "c", "d", "e", "f"] {
        surfer.go(&around.pages.url(site, page)).await?;
        look(400).await;
    }
    surfer.go_away().await
}

#[tokio::test]
async fn what_one_person_left_in_chromium_is_delivered_for_nobody_else() -> Result<()> {
    left_in_the_browser(Kind::Chromium).await
}

#[tokio::test]
async fn what_one_person_left_in_firefox_is_delivered_for_nobody_else() -> Result<()> {
    left_in_the_browser(Kind::Firefox).await
}

async fn left_in_the_browser(kind: Kind) -> Result<()> {
    let world = World::new()?;
    // The account of Ada is made here, and the browser learns of it from the host.
    let around = around(&world).await?;
    let mut surfer = surfer(&world, &Start::new(kind)).await?;
    let page = |name: &str| around.pages.url("shared", name);
    let visit = async |surfer: &mut Surfer, name: &str| {
        surfer.go(&page(name)).await?;
        look(300).await;
        surfer.go_away().await
    };
    visit(&mut surfer, "ada-1").await?;
    of_account(&world, companion::EMAIL, &[page("ada-1")]).await?;

    // Without a host, so that it stays in the outbox; then somebody else signs in.
    heyho(&world, &["browsers", "unregister"]).await?.expect(0)?;
    end_all(&world)?;
    visit(&mut surfer, "ada-2").await?;
    heyho(&world, &["logout"]).await?.expect(0)?;
    let bob = ["login", "--email", "bob@example.org", "--password-stdin", "--register"];
    heyho_reading(&world, &bob, &format!("{PASSWORD}\n")).await?.expect(0)?;
    heyho(&world, &["browsers", "register"]).await?.expect(0)?;
    eventually(BOOT, "Ada's page is in the buffer, for Ada", async || {
        surfer.browser.popup("#outbox").await?;
        surfer.browser.reload().await?;
        let status = companion::status(&world).await?;
        let others = status["otherAccounts"].as_array().context("an array")?;
        let hers = others.iter().find(|other| other["email"] == companion::EMAIL);
        ensure!(hers.is_some_and(|other| other["waiting"].as_u64() >= Some(1)), "{status}");
        Ok(())
    })
    .await?;
    visit(&mut surfer, "bob-1").await?;
    of_account(&world, "bob@example.org", &[page("bob-1")]).await?;
    of_account(&world, companion::EMAIL, &[page("ada-1")]).await?;

    heyho(&world, &["logout"]).await?.expect(0)?;
    companion::sign_in(&world, &[]).await?;
    of_account(&world, companion::EMAIL, &[page("ada-1"), page("ada-2")]).await?;
    of_account(&world, "bob@example.org", &[page("bob-1")]).await?;
    world.done();
    Ok(())
}

pub async fn of_account(world: &World, email: &str, expected: &[String]) -> Result<()> {
    eventually(SOON, &format!("{email} has {expected:?}"), async || {
        delivered(world).await?;
        let stored = Rows::open(world).await?.visited_by(email).await?;
        ensure!(stored == expected, "{stored:?}");
        Ok(())
    })
    .await
}
