//! What goes wrong on the computer itself: no keyring, a damaged database, a full disk, a setting that is not
//! accepted. Each is said in the window in plain words.

use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, Tokens};
use e2e::desk::Desk;
use e2e::judge::Judge;
use e2e::tour::{DARK, LIGHT, Look};
use e2e::window::Window;
use e2e::{World, desktop, troubles};

#[tokio::test]
async fn without_a_keyring_one_is_signed_in_until_the_end_and_it_is_said() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::Keyring)?;
    let window = Window::start(&world).await?;
    window.register(companion::EMAIL, companion::PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.says("status-head", |text| text.contains("signed in only until")).await?;
    window.close().await?;
    world.done();
    Ok(())
}

#[tokio::test]
async fn what_was_saved_of_a_damaged_store_is_said_until_it_is_understood() -> Result<()> {
    let mut judge = Judge::new(LIGHT);
    troubles::damaged_store(LIGHT, &mut judge).await?;
    judge.ends(&[("damaged", &["The store on this computer was damaged", "saved", "kept beside it"])])
}

#[tokio::test]
async fn a_full_disk_is_said_and_over_when_there_is_room_again() -> Result<()> {
    let look = Look { language: "de", ..DARK };
    let mut judge = Judge::new(look);
    troubles::full_disk(look, &mut judge).await?;
    judge.ends(&[(
        "disk-full",
        &["Der Speicher auf diesem Rechner hat ein Problem", "Der Datenträger ist voll"],
    )])
}

#[tokio::test]
async fn a_setting_that_is_not_accepted_is_named_in_the_window_and_tried_again_when_mended() -> Result<()> {
    let desk = Desk::new().await?;
    let world = &desk.world;
    let path = world.config_home().join("heyho-companion/config.toml");
    let good = std::fs::read_to_string(&path)?;
    std::fs::write(&path, good.clone() + "\n[sync]\ninterval = \"often\"\n")?;
    let window = Window::start_first(world).await?;
    window.says("problem-text", |text| text.contains("interval") && text.contains("often")).await?;
    let found = window.axe().await?;
    ensure!(found.is_empty(), "{found:#?}");
    window.click("restart").await?;
    window.says("no-start", |text| text.contains("A setting needs a change")).await?;
    std::fs::write(&path, good)?;
    // The program becomes a new one, which the driver cannot follow; others see it.
    window.value("document.querySelector('[data-testid=restart]').click()").await.ok();
    companion::status_when(world, "the companion runs", |status| status["agentRunning"] == true).await?;
    desk.world.done();
    Ok(())
}
