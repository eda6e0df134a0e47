//! What goes wrong on the computer itself, each brought about for real: a store that was damaged, a disk that is full, no
//! keyring, a setting that is not accepted, an agent that cannot be started.
//! As in [`crate::tour`], the tests judge what is seen and `cargo xtask screenshots` takes pictures of it.

use crate::backend::Backend;
use crate::companion::{self, EMAIL, PASSWORD};
use crate::faulty::{Fault, Faulty};
use crate::host::Host;
use crate::tour::{Look, Visitor, configure, hand_over, visit};
use crate::window::Window;
use crate::world::World;
use crate::{SOON, chromium, desktop, eventually, rows, window};
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use sqlx::Connection;
use std::path::{Path, PathBuf};

const PAGE: usize = 4_096;

/// Signed in until the end of the program, which is said.
pub async fn no_keyring(look: Look, visitor: &mut impl Visitor) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    configure(&world, &backend.url(), look)?;
    let path = world.config_home().join("heyho-companion/config.toml");
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, text.replace("store = \"file\"", "store = \"keyring\""))?;
    let window = Window::start(&world).await?;
    look.enlarge(&window).await?;
    window.register(EMAIL, PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.value("scrollTo(0, 0)").await?;
    visitor.look("no-keyring", "up_to_date", &window).await?;
    window.close().await?;
    world.done();
    Ok(())
}

/// The window is there before its agent: while that waits for a store that somebody else is busy with; when it cannot be
/// started, and says why, and goes on once that is over; and when a setting is not accepted.
pub async fn no_start(look: Look, visitor: &mut impl Visitor) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    configure(&world, &backend.url(), look)?;
    std::fs::write(window::state_dir(&world).join("window.json"), r#"{"welcomed":true}"#)?;
    hand_over(&world, &[visit(0)]).await?;

    let held = rows::hold_buffer(&world).await?;
    let window = Window::start_first(&world).await?;
    look.enlarge(&window).await?;
    // What would only flash is not shown.
    window.says("status-sentence", |text| !text.is_empty()).await?;
    visitor.look("connecting", "connecting", &window).await?;
    held.close().await?;
    window.shows("status-head", "data-state", "signed_out").await?;
    window.close().await?;

    let lock =
        std::fs::File::options().write(true).open(world.data_home().join("heyho-companion/agent.lock"))?;
    lock.lock()?;
    let window = Window::start_first(&world).await?;
    look.enlarge(&window).await?;
    window.has("no-start", true).await?;
    visitor.look("no-start", "", &window).await?;
    window.names_no_folder().await?;
    lock.unlock()?;
    // It is tried again by itself, and may have been by now.
    window.value("document.querySelector('[data-testid=restart]')?.click()").await?;
    window.shows("status-head", "data-state", "signed_out").await?;
    window.close().await?;

    let path = world.config_home().join("heyho-companion/config.toml");
    let good = std::fs::read_to_string(&path)?;
    std::fs::write(&path, good.clone() + "\n[sync]\ninterval = \"often\"\n")?;
    let window = Window::start_first(&world).await?;
    look.enlarge(&window).await?;
    window.has("problem-text", true).await?;
    visitor.look("bad-setting", "", &window).await?;
    window.names_no_folder().await?;
    window.click("restart").await?;
    window.has("no-start", true).await?;
    std::fs::write(&path, good)?;
    // The program becomes a new one, which the driver cannot follow; others see it.
    window.value("document.querySelector('[data-testid=restart]').click()").await.ok();
    companion::status_when(&world, "the companion runs", |status| status["agentRunning"] == true).await?;
    world.done();
    Ok(())
}

/// What could be saved is said until it was understood, also by a later start.
pub async fn damaged_store(look: Look, visitor: &mut impl Visitor) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    configure(&world, &backend.url(), look)?;
    hand_over(&world, &(0..50).map(visit).collect::<Vec<Value>>()).await?;
    let database = world.data_home().join("heyho-companion/buffer.db");
    let mut bytes = std::fs::read(&database)?;
    for page in bytes.chunks_mut(PAGE).skip(1) {
        page[..64].fill(0xff);
    }
    std::fs::write(&database, bytes)?;

    let window = Window::start(&world).await?;
    look.enlarge(&window).await?;
    window.has("recovered", true).await?;
    visitor.look("damaged", "signed_out", &window).await?;
    window.close().await?;
    let window = Window::start(&world).await?;
    window.has("recovered", true).await?;
    window.click("understood").await?;
    window.has("recovered", false).await?;
    window.close().await?;
    let window = Window::start(&world).await?;
    window.shows("status-head", "data-state", "signed_out").await?;
    ensure!(window.count("recovered").await? == 0, "it was understood");
    window.close().await?;
    world.done();
    Ok(())
}

/// The smallest cap there is.
const CAP: u64 = 1 << 20;

/// Another caller's records until a buffer of [`CAP`] takes no more.
pub async fn fill(world: &World) -> Result<()> {
    let mut host = Host::start(world, &chromium::origin()?)?;
    let client = json!({"name": "filler", "version": "1", "browser": "Chromium", "profileId": "filler"});
    host.ask(&json!({"type": "hello", "protocol": 1, "client": client})).await?;
    let weight = "x".repeat(40_000);
    for n in 0..200 {
        let visit = json!({"id": format!("filler-{n}"), "url": "https://filler.example/", "metadata": {"weight": weight},
                           "visited_at": 1_790_000_000_000_u64 + n});
        let answer = host.ask(&json!({"type": "records", "id": "r", "pageVisits": [visit]})).await?;
        if answer["type"] == "nack" {
            ensure!(answer["code"] == "buffer_full", "{answer}");
            return Ok(());
        }
    }
    bail!("200 records of 40 KB fit into a buffer of 1 MB")
}

/// Only sending makes room in a full store: whoever is not signed in finds the way in there, whoever has paused goes on
/// there, and it empties. Then rules that cannot be read, which keep out what is new as well.
pub async fn full_store(look: Look, visitor: &mut impl Visitor) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    configure(&world, &backend.url(), look)?;
    let path = world.config_home().join("heyho-companion/config.toml");
    let capped = std::fs::read_to_string(&path)? + &format!("\n[buffer]\nmax_bytes = {CAP}\n");
    std::fs::write(&path, &capped)?;
    fill(&world).await?;

    let window = Window::start(&world).await?;
    look.enlarge(&window).await?;
    window.has("go-sign-in", true).await?;
    visitor.look("store-full", "buffer_problem", &window).await?;
    window.click("tab-settings").await?;
    window.click("settings-sign-in").await?;
    window.register(EMAIL, PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    let answer = hand_over(&world, &[visit(0)]).await?;
    ensure!(answer["stored"] == 1, "{answer}");

    window.value("scrollTo(0, 0)").await?;
    window.click("pause").await?;
    window.click("pause-open").await?;
    window.shows("status-head", "data-state", "paused").await?;
    fill(&world).await?;
    window.shows("status-head", "data-state", "buffer_problem").await?;
    window.click("resume").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;

    let rule =
        "[[privacy.rules]]\nid = \"x\"\nmatch = \"hots\"\npattern = \"bank.example\"\naction = \"drop\"\n";
    window.click("tab-settings").await?;
    std::fs::write(&path, capped.clone() + rule)?;
    // The agent looks at the rules whenever a setting is changed through it.
    window.choose("interval", "15m").await?;
    window.has("rule-mistaken", true).await?;
    window.value("scrollTo(0, 0)").await?;
    visitor.look("rules-mistaken", "needs_attention", &window).await?;
    std::fs::write(&path, &capped)?;
    window.choose("interval", "30m").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.has("rule-mistaken", false).await?;
    window.close().await?;
    world.done();
    Ok(())
}

/// A network that costs: nothing goes by itself, and all of it by Sync now.
pub async fn metered(look: Look, visitor: &mut impl Visitor) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let _network = desktop::metered_network(&mut world).await?;
    let backend = Backend::start(&world).await?;
    configure(&world, &backend.url(), look)?;
    let path = world.config_home().join("heyho-companion/config.toml");
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, text + "\n[sync]\npause_on_metered = true\n")?;
    let window = Window::start(&world).await?;
    look.enlarge(&window).await?;
    window.register(EMAIL, PASSWORD).await?;
    window.shows("status-head", "data-state", "paused").await?;
    hand_over(&world, &(0..5).map(visit).collect::<Vec<Value>>()).await?;
    window.says("backlog-total", |n| n == "5").await?;
    window.value("scrollTo(0, 0)").await?;
    visitor.look("metered", "paused", &window).await?;
    window.click("sync-now").await?;
    window.says("backlog-total", |n| n == "0").await?;
    window.shows("status-head", "data-state", "paused").await?;
    window.close().await?;
    world.done();
    Ok(())
}

/// The end takes as long as the batch in flight, which is said, and what was planned is not; whoever asks for the app
/// meanwhile gets it again.
pub async fn ending(look: Look, visitor: &mut impl Visitor) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    configure(&world, &backend.url(), look)?;
    let window = Window::start(&world).await?;
    look.enlarge(&window).await?;
    window.register(EMAIL, PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    let port = backend.port();
    backend.kill().await?;
    hand_over(&world, &(0..5).map(visit).collect::<Vec<Value>>()).await?;
    window.shows("status-head", "data-state", "waiting").await?;
    let silent = Faulty::start(port, Fault::Silent).await?;
    window.click("tab-settings").await?;
    window.bring("quit").await?;
    // What is asked of axe takes long where it is asked for the first time; the batch is waited for ten seconds.
    window.axe().await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "syncing").await?;
    window.click("quit").await?;
    // It begins while the first one is looked at: that one is gone ten seconds after the click.
    let mut again = world.start("again", world.program("heyho-companion")?)?;
    visitor.look("ending", "quitting", &window).await?;
    window
        .says("status-sentence", |text| ["Starting again", "Startet neu"].iter().any(|w| text.contains(w)))
        .await?;
    ensure!(again.ended().await?.success());
    silent.stop().await;
    let _backend = Backend::start_on(&world, port).await?;
    // It is a new program, which the driver cannot follow.
    companion::status_when(&world, "all is delivered by the next one", |status| {
        status["agentRunning"] == true && companion::waiting(status) == 0
    })
    .await?;
    world.done();
    Ok(())
}

/// A disk of its own, which goes with this.
#[derive(Debug)]
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: u32) -> Result<SmallDisk> {
        std::fs::create_dir_all(at)?;
        let size = format!("size={megabytes}m,mode=0700");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "heyho"])
            .arg(at)
            .status()?;
        ensure!(mounted.success(), "a small disk cannot be mounted: this test is run as root");
        Ok(SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Nothing new is taken, what is there is still sent, and once there is room again all is as before.
pub async fn full_disk(look: Look, visitor: &mut impl Visitor) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    configure(&world, &backend.url(), look)?;
    let disk = SmallDisk::mount(&world.data_home().join("heyho-companion"), 48)?;
    let window = Window::start(&world).await?;
    look.enlarge(&window).await?;
    window.register(EMAIL, PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    eventually(SOON, "the room laid by for this day", async || {
        ensure!(std::fs::metadata(disk.0.join("ballast"))?.len() > 0);
        Ok(())
    })
    .await?;
    let filler = disk.0.join("filler");
    let _ = std::fs::write(&filler, vec![1_u8; 48 << 20]);

    let mut host = Host::start(&world, &chromium::origin()?)?;
    let mut refused = false;
    for n in 0..200 {
        let visits: Vec<Value> = (n * 100..(n + 1) * 100).map(visit).collect();
        let answer = host.ask(&json!({"type": "records", "id": n, "pageVisits": visits})).await?;
        match answer["type"].as_str() {
            Some("ack") => {}
            Some("nack") => {
                refused = true;
                break;
            }
            _ => bail!("{answer}"),
        }
    }
    ensure!(refused, "a full disk takes everything");
    host.hang_up().await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "buffer_problem").await?;
    window.value("scrollTo(0, 0)").await?;
    visitor.look("disk-full", "buffer_problem", &window).await?;

    std::fs::remove_file(&filler)?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    let answer = hand_over(&world, &[visit(90_000)]).await?;
    ensure!(answer["stored"] == 1, "{answer}");
    companion::status_when(&world, "it waits", |status| companion::waiting(status) == 1).await?;
    window.close().await?;
    drop(disk);
    world.done();
    Ok(())
}
