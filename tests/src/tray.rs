//! A desktop's tray: owns `org.kde.StatusNotifierWatcher` on the world's bus, learns of the app's icon when it
//! registers, and reads the menu as a panel does, over `com.canonical.dbusmenu`.

use crate::desktop;
use crate::eventually::{BOOT, SOON, eventually};
use crate::world::{World, repository};
use anyhow::{Context, Result, bail, ensure};
use resvg::tiny_skia::Pixmap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zbus::message::Header;
use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, Proxy, interface};

/// An icon that registered: who owns it, and the path it gave.
type Item = (String, String);

#[derive(Debug, Clone, Default)]
struct Watcher {
    items: Arc<Mutex<Vec<Item>>>,
}

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: &str, #[zbus(header)] header: Header<'_>) {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        // Either an object path of the sender, or a bus name with the usual path.
        let item = match service.starts_with('/') {
            true => (sender, service.to_owned()),
            false => (service.to_owned(), "/StatusNotifierItem".to_owned()),
        };
        self.items.lock().unwrap_or_else(PoisonError::into_inner).push(item);
    }

    fn register_status_notifier_host(&self, _service: &str) {}

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.iter().map(|(owner, path)| format!("{owner}{path}")).collect()
    }
}

#[derive(Debug)]
pub struct Tray {
    bus: Connection,
    watcher: Watcher,
}

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: i32,
    pub label: String,
    pub enabled: bool,
}

/// `(id, properties, children)`, as `com.canonical.dbusmenu` lays a menu out.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

impl Tray {
    /// To be there before the app starts, as a panel is.
    pub async fn start(world: &World) -> Result<Tray> {
        let bus = desktop::connect(world).await?;
        let watcher = Watcher::default();
        bus.object_server().at("/StatusNotifierWatcher", watcher.clone()).await?;
        bus.request_name("org.kde.StatusNotifierWatcher").await?;
        Ok(Tray { bus, watcher })
    }

    /// How many icons have registered so far.
    pub fn registrations(&self) -> usize {
        self.watcher.items.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn item(&self) -> Result<Proxy<'static>> {
        let (owner, path) = eventually(BOOT, "the app registers a tray icon", async || {
            let items = self.watcher.items.lock().unwrap_or_else(PoisonError::into_inner);
            items.last().cloned().context("no icon yet")
        })
        .await?;
        Ok(Proxy::new_owned(self.bus.clone(), owner, path, "org.kde.StatusNotifierItem").await?)
    }

    async fn menu(&self) -> Result<Proxy<'static>> {
        let item = self.item().await?;
        let path: zbus::zvariant::OwnedObjectPath = item.get_property("Menu").await?;
        let owner = item.destination().to_string();
        Ok(Proxy::new_owned(self.bus.clone(), owner, path.to_string(), "com.canonical.dbusmenu").await?)
    }

    /// Which of the drawn pictures is shown, such as `paused-light`: by its pixels, since the library hands the panel a
    /// file of its own, of another name at each change.
    pub async fn picture(&self) -> Result<String> {
        let item = self.item().await?;
        let name: String = item.get_property("IconName").await?;
        let file = match Path::new(&name).is_absolute() {
            true => PathBuf::from(&name),
            false => {
                let folder: String = item.get_property("IconThemePath").await?;
                Path::new(&folder).join(format!("{name}.png"))
            }
        };
        let shown = pixels(&file)?;
        let mut same = Vec::new();
        for drawn in std::fs::read_dir(repository("src-tauri/icons/tray"))? {
            let path = drawn?.path();
            if path.extension().is_some_and(|kind| kind == "png") && pixels(&path)? == shown {
                same.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        match same.as_slice() {
            [one] => Ok(one.clone()),
            _ => bail!("{} is not one of our pictures but {same:?}", file.display()),
        }
    }

    /// Waits until that picture is shown.
    pub async fn shows(&self, wanted: &str) -> Result<()> {
        eventually(SOON, &format!("the icon {wanted:?}"), async || {
            let shown = self.picture().await?;
            ensure!(shown == wanted, "it is {shown:?}");
            Ok(())
        })
        .await
    }

    /// The menu's lines in order, separators left out; lines of submenus follow the line that opens them.
    pub async fn entries(&self) -> Result<Vec<Entry>> {
        let menu = self.menu().await?;
        let _: bool = menu.call("AboutToShow", &(0i32,)).await.unwrap_or_default();
        let (_, root): (u32, Layout) = menu.call("GetLayout", &(0i32, -1i32, Vec::<&str>::new())).await?;
        let mut entries = Vec::new();
        collect(root, &mut entries)?;
        Ok(entries)
    }

    pub async fn entry(&self, label: &str) -> Result<Entry> {
        let entries = self.entries().await?;
        let seen = entries.iter().map(|e| e.label.clone()).collect::<Vec<_>>().join(" | ");
        let found = entries.into_iter().find(|e| e.label.starts_with(label));
        found.with_context(|| format!("no line \"{label}\" in the menu: {seen}"))
    }

    /// A click on a line.
    pub async fn choose(&self, label: &str) -> Result<()> {
        // A menu that is drawn anew between the question and the click has other ids then.
        eventually(SOON, &format!("a click on {label:?}"), async || {
            let entry = self.entry(label).await?;
            let arguments = (entry.id, "clicked", Value::from(0i32), 0u32);
            Ok(self.menu().await?.call("Event", &arguments).await?)
        })
        .await
    }
}

fn pixels(file: &Path) -> Result<(u32, u32, Vec<u8>)> {
    let read = || anyhow::Ok(Pixmap::decode_png(&std::fs::read(file)?)?);
    let picture = read().with_context(|| file.display().to_string())?;
    Ok((picture.width(), picture.height(), picture.data().to_vec()))
}

fn collect((id, properties, children): Layout, entries: &mut Vec<Entry>) -> Result<()> {
    let text = |name: &str| properties.get(name).and_then(|v| <&str>::try_from(v).ok()).map(str::to_owned);
    let flag = |name: &str| properties.get(name).and_then(|v| bool::try_from(v).ok()).unwrap_or(true);
    if let Some(label) = text("label")
        && flag("visible")
    {
        // An underscore marks the keyboard's letter; two are one of the text.
        let label = label.replace("__", "\u{0}").replace('_', "").replace('\u{0}', "_");
        entries.push(Entry { id, label, enabled: flag("enabled") });
    }
    for child in children {
        collect(Layout::try_from(child)?, entries)?;
    }
    Ok(())
}
