//! Linux: NetworkManager over the system bus, else `/proc/net`; `/sys/class/power_supply`.

use super::Surroundings;
use futures_util::StreamExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use zbus::Connection;

/// Between two looks at the routing tables, where nobody says when they change. Each wakes the processor.
const ROUTES_EVERY: Duration = Duration::from_secs(15);
/// Between two looks at the power: a plug that is pulled may be noticed half a minute later.
const POWER_EVERY: Duration = Duration::from_secs(30);

/// `NM_STATE_CONNECTED_SITE`, and above it `…_GLOBAL`: there is a way to other machines.
const CONNECTED: u32 = 60;
/// `NM_METERED_YES`, `NM_METERED_GUESS_YES`.
const METERED: [u32; 2] = [1, 3];

pub async fn look(tell: watch::Sender<Surroundings>) {
    let power = power(&tell, Path::new("/sys/class/power_supply"));
    let network = async {
        if let Ok(bus) = Connection::system().await {
            match network_manager(&bus, &tell).await {
                Ok(()) => tracing::debug!("NetworkManager has left"),
                Err(error) => tracing::debug!("NetworkManager does not answer: {error}"),
            }
        }
        routes(&tell, Path::new("/proc/net")).await;
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(power, network) } => {}
        () = tell.closed() => {}
    }
}

fn set(tell: &watch::Sender<Surroundings>, how: impl FnOnce(&mut Surroundings)) {
    tell.send_if_modified(|around| {
        let before = *around;
        how(around);
        *around != before
    });
}

#[zbus::proxy(
    interface = "org.freedesktop.NetworkManager",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager"
)]
trait NetworkManager {
    #[zbus(property)]
    fn state(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn metered(&self) -> zbus::Result<u32>;
}

/// Until NetworkManager leaves the bus, or at once where it is not there.
async fn network_manager(bus: &Connection, tell: &watch::Sender<Surroundings>) -> zbus::Result<()> {
    let manager = NetworkManagerProxy::new(bus).await?;
    let mut states = manager.receive_state_changed().await;
    let mut prices = manager.receive_metered_changed().await;
    let mut owners = manager.inner().receive_owner_changed().await?;
    say(tell, manager.state().await?, manager.metered().await.unwrap_or(0));
    loop {
        tokio::select! {
            Some(_) = states.next() => {}
            Some(_) = prices.next() => {}
            owner = owners.next() => if owner.flatten().is_none() {
                set(tell, |around| (around.online, around.metered) = (None, false));
                return Ok(());
            },
        }
        if let (Ok(state), Ok(metered)) = (manager.state().await, manager.metered().await) {
            say(tell, state, metered);
        }
    }
}

fn say(tell: &watch::Sender<Surroundings>, state: u32, metered: u32) {
    set(tell, |around| {
        // 0: it does not know either.
        around.online = (state > 0).then_some(state >= CONNECTED);
        around.metered = METERED.contains(&metered);
    });
}

async fn routes(tell: &watch::Sender<Surroundings>, proc_net: &Path) {
    loop {
        let read = |name: &str| std::fs::read_to_string(proc_net.join(name)).ok();
        let (four, six) = (read("route"), read("ipv6_route"));
        let online = match (&four, &six) {
            (None, None) => None,
            _ => Some(default_route(&four.unwrap_or_default(), &six.unwrap_or_default())),
        };
        set(tell, |around| around.online = online);
        tokio::time::sleep(ROUTES_EVERY).await;
    }
}

/// Whether a packet to anywhere would leave this machine.
fn default_route(four: &str, six: &str) -> bool {
    const UP: u32 = 0x1;
    const REJECT: u32 = 0x200;
    let goes = |flags: Option<&str>| {
        flags
            .and_then(|flags| u32::from_str_radix(flags, 16).ok())
            .is_some_and(|flags| flags & UP != 0 && flags & REJECT == 0)
    };
    // Iface Destination Gateway Flags …
    let by_four = four.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00000000") && goes(fields.get(3).copied())
    });
    // destination length source length next-hop metric references uses flags device
    let by_six = six.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00")
            && fields.first().is_some_and(|to| to.bytes().all(|b| b == b'0'))
            && fields.get(9).is_some_and(|device| *device != "lo")
            && goes(fields.get(8).copied())
    });
    by_four || by_six
}

async fn power(tell: &watch::Sender<Surroundings>, class: &Path) {
    while let Some(on_battery) = on_battery(class) {
        set(tell, |around| around.on_battery = on_battery);
        tokio::time::sleep(POWER_EVERY).await;
    }
}

/// `None` on a machine without a battery of its own: nothing to look at again.
fn on_battery(class: &Path) -> Option<bool> {
    let mut plugged = false;
    let mut discharging = None;
    for supply in std::fs::read_dir(class).ok()?.filter_map(|entry| Some(entry.ok()?.path())) {
        let read = |name: &str| std::fs::read_to_string(supply.join(name)).unwrap_or_default();
        match read("type").trim() {
            // A mouse has a battery too.
            "Battery" if read("scope").trim() != "Device" => {
                let drains = read("status").trim() == "Discharging";
                discharging = Some(discharging.unwrap_or(false) || drains);
            }
            "Mains" | "USB" => plugged |= read("online").trim() == "1",
            _ => {}
        }
    }
    discharging.map(|discharging| discharging && !plugged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";

    #[test]
    fn a_default_route_is_a_way_out_and_an_unreachable_one_is_none() {
        let to = |destination: &str, flags: &str| {
            format!("{HEAD}eth0\t{destination}\t0102A8C0\t{flags}\t0\t0\t100\t00000000\n")
        };
        assert!(default_route(&to("00000000", "0003"), ""));
        assert!(!default_route(&to("0002A8C0", "0001"), ""), "only the neighbours");
        assert!(!default_route(&to("00000000", "0000"), ""), "down");
        assert!(!default_route(HEAD, ""));
        let zeros = "0".repeat(32);
        let six = |flags: &str, device: &str| {
            format!("{zeros} 00 {zeros} 00 fe80000000000000 00000400 00000001 00000000 {flags} {device}\n")
        };
        assert!(default_route("", &six("00000003", "wlan0")));
        assert!(!default_route("", &six("00200200", "lo")), "as every machine without IPv6 has it");
        assert!(!default_route("", &six("00000201", "wlan0")));
    }

    #[test]
    fn on_battery_is_a_battery_that_drains_with_no_plug_in() {
        let dir = tempfile::tempdir().unwrap();
        let supply = |name: &str, files: &[(&str, &str)]| {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            for (file, text) in files {
                std::fs::write(dir.path().join(name).join(file), format!("{text}\n")).unwrap();
            }
        };
        assert_eq!(on_battery(dir.path()), None);
        supply("mouse", &[("type", "Battery"), ("scope", "Device"), ("status", "Discharging")]);
        supply("AC", &[("type", "Mains"), ("online", "1")]);
        assert_eq!(on_battery(dir.path()), None);
        supply("BAT0", &[("type", "Battery"), ("status", "Discharging")]);
        assert_eq!(on_battery(dir.path()), Some(false), "the plug decides");
        supply("AC", &[("online", "0")]);
        assert_eq!(on_battery(dir.path()), Some(true));
        supply("BAT0", &[("status", "Charging")]);
        assert_eq!(on_battery(dir.path()), Some(false));
    }

    #[tokio::test]
    async fn without_a_network_manager_the_routing_tables_say_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("route"), HEAD).unwrap();
        let (tell, mut hear) = watch::channel(Surroundings::default());
        let path = dir.path().to_owned();
        let looking = tokio::spawn(async move { routes(&tell, &path).await });
        hear.wait_for(|around| around.online == Some(false)).await.unwrap();
        looking.abort();
    }

    /// A bus of its own, on which the test is NetworkManager.
    struct Bus(Child, String);

    impl Drop for Bus {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// `None` where no D-Bus is installed.
    fn bus() -> Option<Bus> {
        use std::io::{BufRead, BufReader};
        let mut daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut address = String::new();
        BufReader::new(daemon.stdout.take()?).read_line(&mut address).ok()?;
        Some(Bus(daemon, address.trim().to_owned()))
    }

    struct Manager {
        state: u32,
        metered: u32,
    }

    #[zbus::interface(name = "org.freedesktop.NetworkManager")]
    impl Manager {
        #[zbus(property)]
        fn state(&self) -> u32 {
            self.state
        }
        #[zbus(property)]
        fn metered(&self) -> u32 {
            self.metered
        }
    }

    #[tokio::test]
    async fn what_network_manager_says_is_heard_as_it_changes_until_it_leaves() {
        let Some(bus) = bus() else { return eprintln!("skipped: no dbus-daemon on this machine") };
        let manager = zbus::connection::Builder::address(bus.1.as_str())
            .unwrap()
            .name("org.freedesktop.NetworkManager")
            .unwrap()
            .serve_at("/org/freedesktop/NetworkManager", Manager { state: 20, metered: 4 })
            .unwrap()
            .build()
            .await
            .unwrap();
        let ours = zbus::connection::Builder::address(bus.1.as_str()).unwrap().build().await.unwrap();
        let (tell, mut hear) = watch::channel(Surroundings::default());
        let listening = tokio::spawn(async move { network_manager(&ours, &tell).await });
        let bound = Duration::from_secs(20);
        let mut until = async |online: Option<bool>, metered: bool| {
            let holds = hear.wait_for(|around| (around.online, around.metered) == (online, metered));
            tokio::time::timeout(bound, holds).await.unwrap().unwrap();
        };
        until(Some(false), false).await;
        let interface =
            manager.object_server().interface::<_, Manager>("/org/freedesktop/NetworkManager").await.unwrap();
        interface.get_mut().await.state = 70;
        interface.get().await.state_changed(interface.signal_emitter()).await.unwrap();
        until(Some(true), false).await;
        interface.get_mut().await.metered = 3;
        interface.get().await.metered_changed(interface.signal_emitter()).await.unwrap();
        until(Some(true), true).await;
        drop(interface);
        manager.release_name("org.freedesktop.NetworkManager").await.unwrap();
        until(None, false).await;
        tokio::time::timeout(bound, listening).await.unwrap().unwrap().unwrap();
    }
}
