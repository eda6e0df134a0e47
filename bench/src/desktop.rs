//! A display whose picture can be read, its windows, and processes with all their children.

use crate::lab::memory_mb;
use anyhow::{Context, Result, ensure};
use e2e::{BOOT, World, process::Process};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ClientMessageEvent, ConnectionExt, EventMask, MapState};
use x11rb::rust_connection::RustConnection;

/// A picture that has not changed for so long is there.
const STILL: Duration = Duration::from_millis(700);

/// Xvfb, its picture in a file that every program may read.
#[derive(Debug)]
pub struct Screen {
    _xvfb: Process,
    picture: PathBuf,
    display: String,
}

impl Screen {
    pub async fn start(world: &mut World) -> Result<Screen> {
        let folder = world.dir().join("screen");
        std::fs::create_dir_all(&folder)?;
        let mut command = world.command("Xvfb");
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "800x700x24",
            "-nolisten",
            "tcp",
            "-noreset",
            "-fbdir",
        ]);
        command.arg(&folder);
        let mut xvfb = world.start("xvfb", command)?;
        let only_digits = |line: &str| line.parse::<u32>().ok().map(|n| n.to_string());
        let display = format!(":{}", xvfb.line("the display's number", BOOT, only_digits).await?);
        world.set("DISPLAY", &display);
        world.set("GDK_BACKEND", "x11");
        world.set("LIBGL_ALWAYS_SOFTWARE", "1");
        world.set("NO_AT_BRIDGE", "1");
        Ok(Screen { _xvfb: xvfb, picture: folder.join("Xvfb_screen0"), display })
    }

    /// How many of the looked-at points are neither the screen's nor the window's ground: what is on the window.
    fn content(&self) -> Result<usize> {
        let file = std::fs::read(&self.picture).context("the display's picture")?;
        // An X window dump: a head of 32-bit numbers, a colour map, rows of 4 bytes a point.
        let number = |n: usize| -> Result<usize> {
            let bytes = file.get(n * 4..n * 4 + 4).context("a head")?;
            Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
        };
        let points = file.get(number(0)? + number(19)? * 12..).context("points")?;
        let mut colours: HashMap<[u8; 4], usize> = HashMap::new();
        for point in points.chunks_exact(4).step_by(5) {
            *colours.entry([point[0], point[1], point[2], point[3]]).or_default() += 1;
        }
        let mut counts: Vec<usize> = colours.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        Ok(counts.iter().skip(2).sum())
    }

    /// Milliseconds from `start` until half of what the window shows in the end was there.
    pub async fn shown_ms(&self, start: Instant, mut alive: impl FnMut() -> Result<()>) -> Result<f64> {
        let mut seen: Vec<(Instant, usize)> = Vec::new();
        loop {
            alive()?;
            ensure!(start.elapsed() < BOOT, "no window was drawn; seen: {seen:?}");
            let content = self.content()?;
            let now = Instant::now();
            match seen.last() {
                Some((at, last)) if *last == content => {
                    if content > 100 && now.duration_since(*at) > STILL {
                        break;
                    }
                }
                _ => seen.push((now, content)),
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        let last = seen.last().map_or(0, |(_, content)| *content);
        // The last time it fell below half: a window that is drawn twice is there after the second.
        let begun = seen.iter().rposition(|(_, content)| *content * 2 < last).map_or(0, |n| n + 1);
        let at = seen.get(begun).map_or(start, |(at, _)| *at);
        Ok(at.duration_since(start).as_secs_f64() * 1e3)
    }

    /// Closes every window that can be seen, as the button of a window manager does. How many there were.
    pub fn close_windows(&self) -> Result<usize> {
        let (x, screen) = RustConnection::connect(Some(&self.display))?;
        let root = x.setup().roots.get(screen).context("a screen")?.root;
        let atom = |name: &str| -> Result<u32> { Ok(x.intern_atom(false, name.as_bytes())?.reply()?.atom) };
        let (protocols, delete) = (atom("WM_PROTOCOLS")?, atom("WM_DELETE_WINDOW")?);
        let mut closed = 0;
        for window in x.query_tree(root)?.reply()?.children {
            if x.get_window_attributes(window)?.reply()?.map_state != MapState::VIEWABLE {
                continue;
            }
            let speaks = x.get_property(false, window, protocols, AtomEnum::ATOM, 0, 32)?.reply()?;
            if !speaks.value32().is_some_and(|mut list| list.any(|one| one == delete)) {
                continue;
            }
            let message =
                ClientMessageEvent::new(32, window, protocols, [delete, x11rb::CURRENT_TIME, 0, 0, 0]);
            x.send_event(false, window, EventMask::NO_EVENT, message)?;
            closed += 1;
        }
        x.flush()?;
        // The answer to anything says that everything before it has arrived.
        x.get_input_focus()?.reply()?;
        Ok(closed)
    }
}

/// A process and all that came of it.
pub fn family(pid: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let mut family = vec![pid];
    let mut n = 0;
    while let Some(&parent) = family.get(n) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        n += 1;
    }
    Ok(family)
}

/// What the family holds, memory that is shared counted by its part.
pub fn pss_mb(pid: u32) -> Result<f64> {
    let held = family(pid)?.into_iter().map(|pid| memory_mb(pid, "smaps_rollup", "Pss"));
    // One that ended since the list was read holds nothing.
    Ok(held.filter_map(Result::ok).sum())
}
