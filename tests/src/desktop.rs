//! A private desktop: a display of Xvfb, a D-Bus session and a Secret Service (gnome-keyring) that hold
//! nothing of the person's own. Each piece is started only where a test asks for it, and later programs of
//! the world see it by its variable.

use crate::eventually::{BOOT, eventually};
use crate::process::Process;
use crate::world::World;
use anyhow::{Context, Result};
use std::collections::HashMap;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, Proxy};

/// An X display with a number nobody else has: Xvfb picks it and says it.
pub async fn display(world: &mut World) -> Result<Process> {
    let mut command = world.command("Xvfb");
    command.args(["-displayfd", "1", "-screen", "0", "1920x1080x24", "-nolisten", "tcp", "-noreset"]);
    let mut xvfb = world.start("xvfb", command)?;
    let only_digits = |line: &str| line.parse::<u32>().ok().map(|n| n.to_string());
    let number = xvfb.line("the display's number", BOOT, only_digits).await?;
    world.set("DISPLAY", format!(":{number}"));
    world.set("GDK_BACKEND", "x11");
    // No graphics card is asked for, and no accessibility bus is looked for outside this world.
    world.set("LIBGL_ALWAYS_SOFTWARE", "1");
    world.set("NO_AT_BRIDGE", "1");
    Ok(xvfb)
}

/// A D-Bus session of this world's own.
pub async fn bus(world: &mut World) -> Result<Process> {
    let address = format!("unix:path={}", world.runtime().join("bus").display());
    let mut command = world.command("dbus-daemon");
    command.args(["--session", "--nofork", "--nopidfile", "--print-address=1"]);
    command.arg(format!("--address={address}"));
    let mut daemon = world.start("dbus", command)?;
    daemon.line_after("unix:", BOOT).await?;
    world.set("DBUS_SESSION_BUS_ADDRESS", &address);
    Ok(daemon)
}

struct Manager;

/// As NetworkManager says that there is a way to other machines, and that it costs.
#[zbus::interface(name = "org.freedesktop.NetworkManager")]
impl Manager {
    #[zbus(property)]
    fn state(&self) -> u32 {
        70
    }
    #[zbus(property)]
    fn metered(&self) -> u32 {
        1
    }
}

/// For as long as this is kept; that bus is the system's too.
pub async fn metered_network(world: &mut World) -> Result<Connection> {
    let address = world.variable("DBUS_SESSION_BUS_ADDRESS").context("call desktop::bus first")?.to_owned();
    world.set("DBUS_SYSTEM_BUS_ADDRESS", &address);
    let manager = connect(world).await?;
    manager.object_server().at("/org/freedesktop/NetworkManager", Manager).await?;
    manager.request_name("org.freedesktop.NetworkManager").await?;
    Ok(manager)
}

/// An unlocked Secret Service on that bus.
pub async fn keyring(world: &World) -> Result<Process> {
    let mut command = world.command("gnome-keyring-daemon");
    command.args(["--foreground", "--unlock", "--components=secrets"]);
    let daemon = world.start_with_input("keyring", command, b"a password of this test\n")?;
    let bus = connect(world).await?;
    eventually(BOOT, "a Secret Service on the private bus", async || {
        let owned = zbus::fdo::DBusProxy::new(&bus)
            .await?
            .name_has_owner("org.freedesktop.secrets".try_into()?)
            .await?;
        anyhow::ensure!(owned, "org.freedesktop.secrets has no owner");
        Ok(())
    })
    .await?;
    Ok(daemon)
}

/// This test's own connection to the world's bus.
pub async fn connect(world: &World) -> Result<Connection> {
    let address = world
        .variable("DBUS_SESSION_BUS_ADDRESS")
        .and_then(|a| a.to_str())
        .context("this world has no D-Bus session: call desktop::bus first")?;
    Ok(zbus::connection::Builder::address(address)?.build().await?)
}

/// Every secret in the Secret Service, read over D-Bus as a keyring manager reads it.
pub async fn secrets(world: &World) -> Result<Vec<Vec<u8>>> {
    const SERVICE: &str = "org.freedesktop.secrets";
    type Secret = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);
    let bus = connect(world).await?;
    let service =
        Proxy::new(&bus, SERVICE, "/org/freedesktop/secrets", "org.freedesktop.Secret.Service").await?;
    let (_, session): (OwnedValue, OwnedObjectPath) =
        service.call("OpenSession", &("plain", Value::from(""))).await?;
    let everything = HashMap::<&str, &str>::new();
    let (open, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
        service.call("SearchItems", &(everything,)).await?;
    anyhow::ensure!(locked.is_empty(), "locked items: {locked:?}");
    let secrets: HashMap<OwnedObjectPath, Secret> = service.call("GetSecrets", &(open, session)).await?;
    Ok(secrets.into_values().map(|(_, _, secret, _)| secret).collect())
}
