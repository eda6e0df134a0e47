//! The desktop app, as a person has it: in the tray, with its window, after the window, idle, and how soon it is
//! there. Beside an empty Tauri app with a tray icon and one window (`bench/empty-tray`).

use super::Taken;
use super::drain::{Running, Template, template};
use crate::desktop::{Screen, family, pss_mb};
use crate::figure::{By, Row};
use crate::lab::{Lab, Place, effort, ms};
use crate::null_backend::NullBackend;
use crate::pipe::{Host, program};
use crate::records;
use anyhow::{Result, ensure};
use e2e::{BOOT, World, desktop, eventually, process::Process, tray::Tray};
use std::time::{Duration, Instant};

const EMPTY: &str = "examples/empty-tray";
/// After the last thing happened: allocators and GTK give back what they give back.
const REST: Duration = Duration::from_secs(3);

struct Desk {
    screen: Screen,
    tray: Tray,
    world: World,
    template: Template,
    place: Option<Place>,
    _bus: Process,
    _backend: NullBackend,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum App {
    Ours,
    Empty,
}

impl Desk {
    async fn new() -> Result<Desk> {
        let mut world = World::new()?;
        let bus = desktop::bus(&mut world).await?;
        let screen = Screen::start(&mut world).await?;
        let tray = Tray::start(&world).await?;
        let backend = NullBackend::start()?;
        let template = template(&world, &backend.url(), "template", 1, records::BYTES).await?;
        Ok(Desk { screen, tray, world, template, place: None, _bus: bus, _backend: backend })
    }

    /// Whether there is an empty app to stand beside: a smoke test does not build it.
    fn has_empty(&self) -> bool {
        e2e::world::built(EMPTY).is_ok()
    }

    /// Our app is signed in and has something to deliver.
    fn start(&mut self, lab: Lab, which: App, window: bool) -> Result<Running> {
        let place = self.template.copy(lab, &self.world, "app")?;
        let mut command = match which {
            App::Ours => program(&self.world, "heyho-companion", &place)?,
            App::Empty => program(&self.world, EMPTY, &place)?,
        };
        match (which, window) {
            (App::Ours, false) => drop(command.arg("--hidden")),
            (App::Empty, true) => drop(command.arg("--window")),
            _ => {}
        }
        self.place = Some(place);
        Running::start(command)
    }

    /// Until there is one icon more than before.
    async fn in_the_tray(&self, before: usize, app: &mut Running) -> Result<()> {
        let start = Instant::now();
        while self.tray.registrations() <= before {
            app.alive()?;
            ensure!(start.elapsed() < BOOT, "no icon came to the tray");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn held(&mut self, which: App, lab: Lab) -> Result<(f64, f64, f64)> {
        let icons = self.tray.registrations();
        let mut app = self.start(lab, which, false)?;
        self.in_the_tray(icons, &mut app).await?;
        rest(lab).await;
        let in_tray = pss_mb(app.0.id())?;
        drop(app);
        let mut app = self.start(lab, which, true)?;
        let start = Instant::now();
        self.screen.shown_ms(start, || app.alive()).await?;
        rest(lab).await;
        let open = pss_mb(app.0.id())?;
        ensure!(self.screen.close_windows()? > 0, "there is no window to close");
        let pid = app.0.id();
        // The one for the network stays, with WebKit itself, in both apps.
        eventually(BOOT, "the web view's process ends", async || {
            let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let left = family(pid)?.iter().filter(|pid| name(pid).starts_with("WebKitWebProc")).count();
            ensure!(left == 0, "{left} are left");
            Ok(())
        })
        .await?;
        rest(lab).await;
        app.alive()?;
        Ok((in_tray, open, pss_mb(pid)?))
    }
}

async fn rest(lab: Lab) {
    tokio::time::sleep(if lab.quick { Duration::from_millis(300) } else { REST }).await;
}

pub async fn memory(lab: Lab) -> Result<Taken> {
    let mut desk = Desk::new().await?;
    let beside = |row: Row| row.beside("an empty Tauri tray app", By::Value);
    let mut rows = [
        beside(Row::new("app in the tray, before the first window (PSS of all its processes)", "MB"))
            .at_most(60.0),
        beside(Row::new("with its window open", "MB")),
        beside(Row::new("after the window was closed", "MB")).at_most(130.0),
    ];
    for round in 0..lab.rounds() {
        let ours = desk.held(App::Ours, lab).await?;
        let other = match desk.has_empty() {
            true => desk.held(App::Empty, lab).await?,
            false => (f64::NAN, f64::NAN, f64::NAN),
        };
        for (row, (ours, other)) in
            rows.iter_mut().zip([(ours.0, other.0), (ours.1, other.1), (ours.2, other.2)])
        {
            row.round(ours, other);
        }
        lab.progress("app", round);
    }
    desk.world.done();
    Ok(Taken { rows: rows.into(), plots: Vec::new() })
}

/// A minute in which nothing happens: app in the tray, host connected and subscribed as the extension has it.
pub async fn idle(lab: Lab) -> Result<Taken> {
    let mut desk = Desk::new().await?;
    let minute = Duration::from_secs(lab.size(60, 2));
    let icons = desk.tray.registrations();
    let mut app = desk.start(lab, App::Ours, false)?;
    desk.in_the_tray(icons, &mut app).await?;
    let Some(place) = desk.place.clone() else { anyhow::bail!("the app has a place") };
    let mut host = Host::start(&desk.world, &place)?;
    for message in [
        r#"{"type":"hello","protocol":1,"id":"h","client":{"name":"bench","version":"1","browser":"Chromium","profileId":"idle"}}"#,
        r#"{"type":"subscribe","id":"s"}"#,
    ] {
        host.send(&records::framed(message.as_bytes()))?;
        host.read()?;
    }
    // What follows a start (a look at the backend, icons, the first status) is over then.
    tokio::time::sleep(if lab.quick { REST } else { Duration::from_secs(20) }).await;
    let mut cpu = Row::new("idle for 60 s: CPU time of app and host together", "%").at_most(0.1);
    let mut wakes = Row::new("idle for 60 s: wake-ups of app and host together", "1/s").at_most(2.0);
    let pids = [app.0.id(), host.pid()];
    let both = || -> Result<(f64, f64)> {
        let [a, b] = [effort(pids[0])?, effort(pids[1])?];
        Ok((a.0 + b.0, a.1 + b.1))
    };
    for round in 0..lab.rounds().min(5) {
        let (before, start) = (both()?, Instant::now());
        tokio::time::sleep(minute).await;
        let (after, seconds) = (both()?, start.elapsed().as_secs_f64());
        cpu.value((after.0 - before.0) / seconds * 100.0);
        wakes.value((after.1 - before.1) / seconds);
        lab.progress("idle", round);
    }
    app.alive()?;
    host.hang_up()?;
    desk.world.done();
    Ok(Taken { rows: vec![cpu, wakes], plots: Vec::new() })
}

pub async fn start(lab: Lab) -> Result<Taken> {
    let mut desk = Desk::new().await?;
    let mut tray = Row::new("app: start to the icon in the tray", "ms")
        .beside("an empty Tauri tray app", By::Value)
        .at_most(500.0);
    let mut window = Row::new("app: start to the window with its content", "ms")
        .beside("an empty Tauri window", By::Ratio)
        .at_most(1.5);
    for round in 0..lab.rounds() {
        let (mut to_tray, mut to_window) = ([f64::NAN; 2], [f64::NAN; 2]);
        for (n, which) in [App::Ours, App::Empty].into_iter().enumerate() {
            if which == App::Empty && !desk.has_empty() {
                continue;
            }
            let icons = desk.tray.registrations();
            let begun = Instant::now();
            let mut app = desk.start(lab, which, false)?;
            let copied = ms(begun);
            desk.in_the_tray(icons, &mut app).await?;
            // Making the data directory is none of the app's work.
            to_tray[n] = ms(begun) - copied;
            drop(app);
            let mut app = desk.start(lab, which, true)?;
            to_window[n] = desk.screen.shown_ms(Instant::now(), || app.alive()).await?;
        }
        tray.round(to_tray[0], to_tray[1]);
        window.round(to_window[0], to_window[1]);
        lab.progress("start", round);
    }
    desk.world.done();
    Ok(Taken { rows: vec![tray, window], plots: Vec::new() })
}
