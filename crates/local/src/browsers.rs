//! Making the host known to the browsers of this user.
//!
//! [`manifests`] is pure: (system, home, host program, ids) → paths and contents, so that all three systems
//! are tested on one. [`register`] writes only where the browser's own folder exists, leaves alone what the
//! user has changed or locked, and rewrites what is ours when the program has moved.

use crate::config::Extensions;
use crate::paths::write_private;
use heyho_records::native::HOST_NAME;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};

/// The extensions this product ships (extension/ids.json).
const SHIPPED: &str = include_str!("../../../extension/ids.json");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Linux,
    MacOs,
    Windows,
}

impl System {
    pub fn here() -> System {
        if cfg!(target_os = "windows") {
            System::Windows
        } else if cfg!(target_os = "macos") {
            System::MacOs
        } else {
            System::Linux
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Chromium,
    Firefox,
}

/// One browser's manifest: where it belongs and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub browser: &'static str,
    /// The browser is taken to be installed where this folder exists.
    pub presence: PathBuf,
    pub path: PathBuf,
    pub contents: String,
    /// Windows finds a manifest by this key of the current user, never by its folder.
    pub registry_key: Option<String>,
}

/// How a browser stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    NotInstalled,
    NotRegistered,
    Registered,
    /// Ours, and of another place or version: registering again mends it.
    Outdated,
    /// Somebody else's words stand there; they are left alone.
    Changed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub browser: &'static str,
    pub standing: Standing,
    pub path: PathBuf,
}

/// Folder of the browser's profiles below the home, by system. `None`: not made for that system.
struct Place {
    browser: &'static str,
    family: Family,
    linux: Option<(&'static str, &'static str)>,
    mac: Option<(&'static str, &'static str)>,
    windows: Option<(&'static str, &'static str)>,
}

const CHROMIUM_HOSTS: &str = "NativeMessagingHosts";

/// For each system: the folder that shows the browser is there, and the folder of the manifests (Linux, macOS)
/// or the registry key's beginning (Windows). Sources: the field notes and the browsers' own documentation.
const PLACES: &[Place] = &[
    Place {
        browser: "Google Chrome",
        family: Family::Chromium,
        linux: Some((".config/google-chrome", ".config/google-chrome/NativeMessagingHosts")),
        mac: Some(("Library/Application Support/Google/Chrome", CHROMIUM_HOSTS)),
        windows: Some(("AppData/Local/Google/Chrome", r"Software\Google\Chrome")),
    },
    Place {
        browser: "Chromium",
        family: Family::Chromium,
        linux: Some((".config/chromium", ".config/chromium/NativeMessagingHosts")),
        mac: Some(("Library/Application Support/Chromium", CHROMIUM_HOSTS)),
        windows: Some(("AppData/Local/Chromium", r"Software\Chromium")),
    },
    Place {
        browser: "Microsoft Edge",
        family: Family::Chromium,
        linux: Some((".config/microsoft-edge", ".config/microsoft-edge/NativeMessagingHosts")),
        mac: Some(("Library/Application Support/Microsoft Edge", CHROMIUM_HOSTS)),
        windows: Some(("AppData/Local/Microsoft/Edge", r"Software\Microsoft\Edge")),
    },
    Place {
        browser: "Vivaldi",
        family: Family::Chromium,
        linux: Some((".config/vivaldi", ".config/vivaldi/NativeMessagingHosts")),
        mac: Some(("Library/Application Support/Vivaldi", CHROMIUM_HOSTS)),
        windows: Some(("AppData/Local/Vivaldi", r"Software\Vivaldi")),
    },
    Place {
        browser: "Brave",
        family: Family::Chromium,
        linux: Some((
            ".config/BraveSoftware/Brave-Browser",
            ".config/BraveSoftware/Brave-Browser/NativeMessagingHosts",
        )),
        mac: Some(("Library/Application Support/BraveSoftware/Brave-Browser", CHROMIUM_HOSTS)),
        windows: Some(("AppData/Local/BraveSoftware/Brave-Browser", r"Software\BraveSoftware\Brave-Browser")),
    },
    Place {
        browser: "Firefox",
        family: Family::Firefox,
        linux: Some((".mozilla", ".mozilla/native-messaging-hosts")),
        mac: Some(("Library/Application Support/Mozilla", CHROMIUM_HOSTS)),
        windows: Some(("AppData/Roaming/Mozilla", r"Software\Mozilla")),
    },
    Place {
        browser: "LibreWolf",
        family: Family::Firefox,
        linux: Some((".librewolf", ".librewolf/native-messaging-hosts")),
        mac: Some(("Library/Application Support/librewolf", CHROMIUM_HOSTS)),
        windows: None,
    },
];

/// What belongs where, for every browser there is on this system.
pub fn manifests(system: System, home: &Path, host: &Path, extra: &Extensions) -> Vec<Manifest> {
    let ids = ids(extra);
    PLACES
        .iter()
        .filter_map(|place| {
            let (presence, hosts) = match system {
                System::Linux => place.linux?,
                System::MacOs => place.mac?,
                System::Windows => place.windows?,
            };
            let presence = home.join(presence);
            let file = format!("{HOST_NAME}.json");
            let (path, registry_key) = match system {
                System::Linux => (home.join(hosts).join(file), None),
                System::MacOs => (presence.join(hosts).join(file), None),
                // Two forms of manifest, each in one file that the keys point to.
                System::Windows => {
                    let name = match place.family {
                        Family::Chromium => format!("{HOST_NAME}.chromium.json"),
                        Family::Firefox => format!("{HOST_NAME}.firefox.json"),
                    };
                    let key = format!(r"{hosts}\NativeMessagingHosts\{HOST_NAME}");
                    (home.join("AppData/Local/heyho-companion").join(name), Some(key))
                }
            };
            Some(Manifest {
                browser: place.browser,
                presence,
                path,
                contents: contents(place.family, host, &ids),
                registry_key,
            })
        })
        .collect()
}

fn ids(extra: &Extensions) -> Extensions {
    #[derive(Deserialize)]
    struct Ids {
        chromium: Vec<String>,
        firefox: Vec<String>,
    }
    let shipped: Ids =
        serde_json::from_str(SHIPPED).unwrap_or(Ids { chromium: Vec::new(), firefox: Vec::new() });
    let join = |mut list: Vec<String>, more: &[String]| {
        list.extend(more.iter().cloned());
        list.dedup();
        list
    };
    Extensions {
        chromium: join(shipped.chromium, &extra.chromium),
        firefox: join(shipped.firefox, &extra.firefox),
    }
}

fn contents(family: Family, host: &Path, ids: &Extensions) -> String {
    let mut manifest = json!({
        "name": HOST_NAME,
        "description": "HeyHo Companion: keeps browsing records safe and delivers them",
        "path": host,
        "type": "stdio",
    });
    let (key, list): (&str, Value) = match family {
        Family::Chromium => {
            ("allowed_origins", ids.chromium.iter().map(|id| format!("chrome-extension://{id}/")).collect())
        }
        Family::Firefox => ("allowed_extensions", ids.firefox.iter().cloned().collect()),
    };
    if let Some(map) = manifest.as_object_mut() {
        map.insert(key.to_owned(), list);
    }
    format!("{manifest:#}\n")
}

/// How each browser stands.
pub fn list(manifests: &[Manifest]) -> Vec<Row> {
    manifests
        .iter()
        .map(|m| Row { browser: m.browser, standing: standing(m), path: m.path.clone() })
        .collect()
}

fn standing(manifest: &Manifest) -> Standing {
    if !manifest.presence.is_dir() {
        return Standing::NotInstalled;
    }
    match std::fs::read_to_string(&manifest.path) {
        Ok(found) if found == manifest.contents => Standing::Registered,
        Ok(found) if is_ours(&found) => Standing::Outdated,
        Ok(_) => Standing::Changed,
        Err(_) => Standing::NotRegistered,
    }
}

/// Written by us, whatever program it points to: it has our name and description, and nothing added.
fn is_ours(found: &str) -> bool {
    let Ok(Value::Object(map)) = serde_json::from_str::<Value>(found) else { return false };
    let ours = ["name", "description", "path", "type", "allowed_origins", "allowed_extensions"];
    map.get("name").and_then(Value::as_str) == Some(HOST_NAME)
        && map.get("path").and_then(Value::as_str).is_some_and(|path| path.contains("heyho-host"))
        && map.keys().all(|key| ours.contains(&key.as_str()))
}

/// Writes what is missing or outdated, where the browser is installed. Says how each stands afterwards.
pub fn register(manifests: &[Manifest]) -> io::Result<Vec<Row>> {
    for manifest in manifests {
        if matches!(standing(manifest), Standing::NotRegistered | Standing::Outdated) {
            write_private(&manifest.path, manifest.contents.as_bytes())?;
            platform::point(manifest)?;
        }
    }
    Ok(list(manifests))
}

/// Takes away what is ours, and leaves nothing behind.
pub fn unregister(manifests: &[Manifest]) -> io::Result<Vec<Row>> {
    for manifest in manifests {
        if matches!(standing(manifest), Standing::Registered | Standing::Outdated) {
            std::fs::remove_file(&manifest.path)?;
            platform::forget(manifest)?;
        }
    }
    Ok(list(manifests))
}

#[cfg(not(windows))]
mod platform {
    use super::Manifest;
    use std::io;

    pub fn point(_manifest: &Manifest) -> io::Result<()> {
        Ok(())
    }

    pub fn forget(_manifest: &Manifest) -> io::Result<()> {
        Ok(())
    }
}

/// Not compiled on the machines this is developed on (docs/platforms.md).
#[cfg(windows)]
mod platform {
    use super::Manifest;
    use std::io;
    use std::process::Command;

    pub fn point(manifest: &Manifest) -> io::Result<()> {
        let Some(key) = &manifest.registry_key else { return Ok(()) };
        reg(Command::new("reg")
            .args(["add", &format!(r"HKCU\{key}"), "/ve", "/d"])
            .arg(&manifest.path)
            .arg("/f"))
    }

    pub fn forget(manifest: &Manifest) -> io::Result<()> {
        let Some(key) = &manifest.registry_key else { return Ok(()) };
        reg(Command::new("reg").args(["delete", &format!(r"HKCU\{key}"), "/f"]))
    }

    fn reg(command: &mut Command) -> io::Result<()> {
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("reg.exe did not succeed")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(home: &Path) -> Vec<Manifest> {
        manifests(System::Linux, home, Path::new("/opt/heyho/heyho-host"), &Extensions::default())
    }

    #[test]
    fn every_system_has_its_own_paths() {
        let extra = Extensions { chromium: vec!["mine".into()], firefox: vec!["mine@x".into()] };
        let of = |system, home: &str| {
            manifests(system, Path::new(home), Path::new("/opt/heyho-host"), &extra)
                .into_iter()
                .map(|m| (m.browser, m.path.display().to_string(), m.registry_key))
                .collect::<Vec<_>>()
        };
        let linux = of(System::Linux, "/home/u");
        assert!(linux.contains(&(
            "Chromium",
            "/home/u/.config/chromium/NativeMessagingHosts/com.heyho.companion.json".into(),
            None
        )));
        assert!(linux.contains(&(
            "Firefox",
            "/home/u/.mozilla/native-messaging-hosts/com.heyho.companion.json".into(),
            None
        )));
        let mac = of(System::MacOs, "/Users/u");
        assert!(mac.contains(&(
            "Google Chrome",
            "/Users/u/Library/Application Support/Google/Chrome/NativeMessagingHosts/com.heyho.companion.json"
                .into(),
            None
        )));
        let windows = of(System::Windows, "/u");
        assert!(windows.iter().any(|(browser, _, key)| *browser == "Microsoft Edge"
            && key.as_deref() == Some(r"Software\Microsoft\Edge\NativeMessagingHosts\com.heyho.companion")));
        assert!(!windows.iter().any(|(browser, ..)| *browser == "LibreWolf"));
    }

    #[test]
    fn each_family_has_its_own_form() {
        let all = manifests(
            System::Linux,
            Path::new("/h"),
            Path::new("/opt/heyho-host"),
            &Extensions { chromium: vec!["mine".into()], firefox: vec![] },
        );
        let parsed = |browser: &str| -> Value {
            serde_json::from_str(&all.iter().find(|m| m.browser == browser).unwrap().contents).unwrap()
        };
        let chromium = parsed("Chromium");
        assert_eq!(chromium["path"], "/opt/heyho-host");
        let origins = chromium["allowed_origins"].as_array().unwrap();
        assert!(origins.contains(&json!("chrome-extension://mine/")));
        assert!(origins.iter().all(|o| o.as_str().unwrap().ends_with('/')));
        let firefox = parsed("Firefox");
        assert!(firefox["allowed_extensions"].as_array().unwrap().contains(&json!("heyho@bext.com")));
        assert!(firefox.get("allowed_origins").is_none());
    }

    #[test]
    fn only_where_the_browser_is_and_never_over_somebody_elses_words() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".config/chromium")).unwrap();
        std::fs::create_dir_all(home.path().join(".config/vivaldi/NativeMessagingHosts")).unwrap();
        let theirs = home.path().join(".config/vivaldi/NativeMessagingHosts/com.heyho.companion.json");
        std::fs::write(&theirs, "{\"name\":\"mine\"}").unwrap();
        let standing =
            |rows: &[Row], browser: &str| rows.iter().find(|r| r.browser == browser).unwrap().standing;
        let rows = register(&made(home.path())).unwrap();
        assert_eq!(standing(&rows, "Chromium"), Standing::Registered);
        assert_eq!(standing(&rows, "Vivaldi"), Standing::Changed);
        assert_eq!(standing(&rows, "Firefox"), Standing::NotInstalled);
        assert!(!home.path().join(".mozilla").exists());
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "{\"name\":\"mine\"}");

        let moved =
            manifests(System::Linux, home.path(), Path::new("/usr/lib/heyho-host"), &Extensions::default());
        assert_eq!(standing(&list(&moved), "Chromium"), Standing::Outdated);
        assert_eq!(standing(&register(&moved).unwrap(), "Chromium"), Standing::Registered);

        unregister(&moved).unwrap();
        let left: Vec<_> =
            std::fs::read_dir(home.path().join(".config/chromium/NativeMessagingHosts")).unwrap().collect();
        assert!(left.is_empty());
        assert!(theirs.exists());
    }
}
