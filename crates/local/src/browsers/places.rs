//! Where each browser looks for a native messaging manifest, in each form of installation, on each system.
//! Pure: nothing here asks the disk, so that all three systems are tested on one.
//!
//! A folder on Linux is written relative to the home where it begins with a dot, and to the configuration
//! folder (`~/.config`) otherwise. Below `~/.var/app/ID/`, where a flatpak has its own home, the two are `./`
//! and `config/`. On Windows a browser finds the manifest by a registry key, so one file for each family does.
//! Sources: the browsers' own documentation, and docs/platforms.md for what was tried here.

use super::manifest;
use crate::config::Extensions;
use heyho_records::native::HOST_NAME;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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

/// The places everything else is relative to; tests make them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub home: PathBuf,
    /// `~/.config`, or where XDG_CONFIG_HOME points.
    pub config: PathBuf,
    /// `/`
    pub root: PathBuf,
}

impl Roots {
    pub fn of_user() -> Option<Roots> {
        let dirs = directories::BaseDirs::new()?;
        Some(Roots {
            home: dirs.home_dir().to_owned(),
            config: dirs.config_dir().to_owned(),
            root: PathBuf::from("/"),
        })
    }
}

/// How a browser was installed: it decides what its sandbox allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The system's own package, or the maker's.
    Package,
    Flatpak,
    Snap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Chromium,
    Firefox,
}

/// What lies between the browser and a program outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    None,
    /// The host is started outside by `flatpak-spawn`, which the user must allow once: the files that say so, those
    /// that count most last.
    Flatpak {
        id: &'static str,
        overrides: Vec<PathBuf>,
    },
    /// The desktop's portal starts the host, and asks the user once.
    Portal,
    /// Nothing gets out.
    Closed,
}

/// One browser in one form: where it would be, and where its manifest belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The word that commands take: `firefox`, `firefox-flatpak`.
    pub browser: String,
    pub name: &'static str,
    pub form: Form,
    /// What the extension calls this browser when it says hello.
    pub says: &'static str,
    /// It is installed where one of these is there and is its own (`is_there`): its folder, or its program (one
    /// that was never started has no folder yet).
    pub presence: Vec<PathBuf>,
    pub sandbox: Sandbox,
    /// None where no manifest helps.
    pub manifest: Option<PathBuf>,
    pub contents: String,
    /// A program the manifest points to, which in turn starts the host outside a sandbox.
    pub wrapper: Option<(PathBuf, String)>,
    /// Where a package of the system puts the same for all users.
    pub system_manifest: Option<PathBuf>,
    /// Windows finds a manifest by this key of the current user, never by its folder.
    pub registry_key: Option<String>,
}

/// A browser, and its places by system; `None`: not made for it.
struct Maker {
    id: &'static str,
    name: &'static str,
    says: &'static str,
    family: Family,
    linux: Option<Linux>,
    /// Folder and manifests' folder in `Library/Application Support`, program in `Applications`.
    mac: Option<(&'static str, &'static str, &'static str)>,
    /// Folder below the home, beginning of the registry key.
    windows: Option<(&'static str, &'static str)>,
}

struct Linux {
    folder: &'static str,
    /// Where its own folder is since the browser follows XDG, below the configuration folder. It looks for manifests
    /// where it did before (tried with Firefox 153).
    moved: Option<&'static str>,
    hosts: &'static str,
    programs: &'static [&'static str],
    system: Option<&'static str>,
    flatpak: Option<&'static str>,
    snap: Option<(&'static str, Sandbox)>,
}

const MAKERS: &[Maker] = &[
    Maker {
        id: "chrome",
        name: "Google Chrome",
        says: "Chrome",
        family: Family::Chromium,
        linux: Some(Linux {
            folder: "google-chrome",
            moved: None,
            hosts: "google-chrome/NativeMessagingHosts",
            programs: &["google-chrome", "google-chrome-stable"],
            system: Some("etc/opt/chrome/native-messaging-hosts"),
            flatpak: Some("com.google.Chrome"),
            snap: None,
        }),
        mac: Some(("Google/Chrome", "Google/Chrome", "Google Chrome")),
        windows: Some(("AppData/Local/Google/Chrome", r"Software\Google\Chrome")),
    },
    Maker {
        id: "chromium",
        name: "Chromium",
        says: "Chromium",
        family: Family::Chromium,
        linux: Some(Linux {
            folder: "chromium",
            moved: None,
            hosts: "chromium/NativeMessagingHosts",
            programs: &["chromium", "chromium-browser"],
            system: Some("etc/chromium/native-messaging-hosts"),
            flatpak: Some("org.chromium.Chromium"),
            snap: Some(("chromium", Sandbox::Closed)),
        }),
        mac: Some(("Chromium", "Chromium", "Chromium")),
        windows: Some(("AppData/Local/Chromium", r"Software\Chromium")),
    },
    Maker {
        id: "edge",
        name: "Microsoft Edge",
        says: "Edge",
        family: Family::Chromium,
        linux: Some(Linux {
            folder: "microsoft-edge",
            moved: None,
            hosts: "microsoft-edge/NativeMessagingHosts",
            programs: &["microsoft-edge", "microsoft-edge-stable"],
            system: Some("etc/opt/edge/native-messaging-hosts"),
            flatpak: Some("com.microsoft.Edge"),
            snap: None,
        }),
        mac: Some(("Microsoft Edge", "Microsoft Edge", "Microsoft Edge")),
        windows: Some(("AppData/Local/Microsoft/Edge", r"Software\Microsoft\Edge")),
    },
    Maker {
        id: "brave",
        name: "Brave",
        says: "Brave",
        family: Family::Chromium,
        linux: Some(Linux {
            folder: "BraveSoftware/Brave-Browser",
            moved: None,
            hosts: "BraveSoftware/Brave-Browser/NativeMessagingHosts",
            programs: &["brave-browser", "brave-browser-stable"],
            system: None,
            flatpak: Some("com.brave.Browser"),
            snap: Some(("brave", Sandbox::Closed)),
        }),
        mac: Some(("BraveSoftware/Brave-Browser", "BraveSoftware/Brave-Browser", "Brave Browser")),
        windows: Some(("AppData/Local/BraveSoftware/Brave-Browser", r"Software\BraveSoftware\Brave-Browser")),
    },
    Maker {
        id: "vivaldi",
        name: "Vivaldi",
        says: "Vivaldi",
        family: Family::Chromium,
        linux: Some(Linux {
            folder: "vivaldi",
            moved: None,
            hosts: "vivaldi/NativeMessagingHosts",
            programs: &["vivaldi", "vivaldi-stable"],
            system: None,
            flatpak: Some("com.vivaldi.Vivaldi"),
            snap: None,
        }),
        mac: Some(("Vivaldi", "Vivaldi", "Vivaldi")),
        windows: Some(("AppData/Local/Vivaldi", r"Software\Vivaldi")),
    },
    Maker {
        // Reads Chrome's manifests.
        id: "opera",
        name: "Opera",
        says: "Opera",
        family: Family::Chromium,
        linux: Some(Linux {
            folder: "opera",
            moved: None,
            hosts: "google-chrome/NativeMessagingHosts",
            programs: &["opera"],
            system: Some("etc/opt/chrome/native-messaging-hosts"),
            flatpak: None,
            snap: Some(("opera", Sandbox::Closed)),
        }),
        mac: Some(("com.operasoftware.Opera", "Google/Chrome", "Opera")),
        windows: Some(("AppData/Roaming/Opera Software/Opera Stable", r"Software\Google\Chrome")),
    },
    Maker {
        id: "firefox",
        name: "Firefox",
        says: "Firefox",
        family: Family::Firefox,
        linux: Some(Linux {
            folder: ".mozilla",
            moved: Some("mozilla/firefox"),
            hosts: ".mozilla/native-messaging-hosts",
            programs: &["firefox", "firefox-esr"],
            system: Some("usr/lib/mozilla/native-messaging-hosts"),
            flatpak: Some("org.mozilla.firefox"),
            snap: Some(("firefox", Sandbox::Portal)),
        }),
        mac: Some(("Firefox", "Mozilla", "Firefox")),
        windows: Some(("AppData/Roaming/Mozilla", r"Software\Mozilla")),
    },
    Maker {
        id: "librewolf",
        name: "LibreWolf",
        says: "LibreWolf",
        family: Family::Firefox,
        linux: Some(Linux {
            folder: ".librewolf",
            moved: Some("librewolf"),
            hosts: ".librewolf/native-messaging-hosts",
            programs: &["librewolf"],
            system: None,
            flatpak: Some("io.gitlab.librewolf-community"),
            snap: None,
        }),
        mac: Some(("librewolf", "librewolf", "LibreWolf")),
        windows: None,
    },
    Maker {
        // Reads Firefox's manifests.
        id: "zen",
        name: "Zen",
        says: "Zen",
        family: Family::Firefox,
        linux: Some(Linux {
            folder: ".zen",
            moved: Some("zen"),
            hosts: ".mozilla/native-messaging-hosts",
            programs: &["zen", "zen-browser"],
            system: Some("usr/lib/mozilla/native-messaging-hosts"),
            flatpak: Some("app.zen_browser.zen"),
            snap: None,
        }),
        mac: Some(("zen", "Mozilla", "Zen")),
        windows: Some(("AppData/Roaming/zen", r"Software\Mozilla")),
    },
];

/// Where programs of packages lie.
const PROGRAMS: &[&str] = &["usr/bin", "usr/local/bin", "opt/bin"];
/// Of a flatpak and of a snap, for all users and for one.
const FLATPAKS: &str = "var/lib/flatpak/app";
const FLATPAKS_OF_USER: &str = ".local/share/flatpak/app";
/// What was allowed to flatpaks, for all users and by one.
const OVERRIDES: &str = "var/lib/flatpak/overrides";
const OVERRIDES_OF_USER: &str = ".local/share/flatpak/overrides";
const SNAPS: &str = "snap/bin";

/// What belongs where, for every browser there is on this system.
pub fn registrations(system: System, roots: &Roots, host: &Path, extra: &Extensions) -> Vec<Registration> {
    let ids = manifest::ids(extra);
    MAKERS
        .iter()
        .flat_map(|maker| match system {
            System::Linux => linux(maker, roots, host, &ids),
            System::MacOs => mac(maker, roots, host, &ids).into_iter().collect(),
            System::Windows => windows(maker, roots, host, &ids).into_iter().collect(),
        })
        .collect()
}

/// What a package of a Linux system ships for all users, with its places relative to `/`: one manifest for each
/// place, whichever browsers read it.
pub fn for_all_users(host: &Path) -> Vec<(PathBuf, String)> {
    let roots = Roots { home: PathBuf::new(), config: PathBuf::new(), root: PathBuf::new() };
    let all = registrations(System::Linux, &roots, host, &Extensions::default());
    let mut shipped: Vec<_> =
        all.into_iter().filter_map(|one| Some((one.system_manifest?, one.contents))).collect();
    shipped.sort();
    shipped.dedup();
    shipped
}

/// What a browser is that says it is Firefox, by the program that started the host: LibreWolf and Zen call themselves
/// Firefox. Nothing where the program tells no more, as in a sandbox.
pub fn by_program(says: &str, program: &Path) -> Option<&'static str> {
    let name = program.file_name()?.to_str()?.trim_end_matches("-bin");
    let all = MAKERS.iter().filter(|maker| maker.family == Family::Firefox && says == "Firefox");
    let named = |maker: &&Maker| maker.linux.as_ref().is_some_and(|linux| linux.programs.contains(&name));
    all.into_iter().find(named).map(|maker| maker.says)
}

fn file() -> String {
    format!("{HOST_NAME}.json")
}

impl Maker {
    fn registration(&self, form: Form, host: &Path, ids: &Extensions) -> Registration {
        let browser = match form {
            Form::Package => self.id.to_owned(),
            Form::Flatpak => format!("{}-flatpak", self.id),
            Form::Snap => format!("{}-snap", self.id),
        };
        Registration {
            browser,
            name: self.name,
            form,
            says: self.says,
            presence: Vec::new(),
            sandbox: Sandbox::None,
            manifest: None,
            contents: manifest::contents(self.family, host, ids),
            wrapper: None,
            system_manifest: None,
            registry_key: None,
        }
    }
}

fn linux(maker: &Maker, roots: &Roots, host: &Path, ids: &Extensions) -> Vec<Registration> {
    let Some(linux) = &maker.linux else { return Vec::new() };
    let of_user = |folder: &str| match folder.starts_with('.') {
        true => roots.home.join(folder),
        false => roots.config.join(folder),
    };
    let programs = linux
        .programs
        .iter()
        .flat_map(|program| PROGRAMS.iter().map(move |folder| roots.root.join(folder).join(program)));
    let mut all = vec![Registration {
        presence: [Some(linux.folder), linux.moved]
            .into_iter()
            .flatten()
            .map(of_user)
            .chain(programs)
            .collect(),
        manifest: Some(of_user(linux.hosts).join(file())),
        system_manifest: linux.system.map(|folder| roots.root.join(folder).join(file())),
        ..maker.registration(Form::Package, host, ids)
    }];
    if let Some(id) = linux.flatpak {
        let own = roots.home.join(".var/app").join(id);
        let inside = match linux.hosts.starts_with('.') {
            true => own.join(linux.hosts),
            false => own.join("config").join(linux.hosts),
        };
        // The one folder that lies at the same path inside and outside of the sandbox.
        let wrapper = own.join("heyho-companion/heyho-host");
        all.push(Registration {
            presence: vec![roots.root.join(FLATPAKS).join(id), roots.home.join(FLATPAKS_OF_USER).join(id)],
            sandbox: Sandbox::Flatpak {
                id,
                overrides: [roots.root.join(OVERRIDES), roots.home.join(OVERRIDES_OF_USER)]
                    .iter()
                    .flat_map(|folder| [folder.join("global"), folder.join(id)])
                    .collect(),
            },
            manifest: Some(inside.join(file())),
            contents: manifest::contents(maker.family, &wrapper, ids),
            wrapper: Some((wrapper, manifest::outside(host))),
            ..maker.registration(Form::Flatpak, host, ids)
        });
    }
    if let Some((snap, sandbox)) = &linux.snap {
        all.push(Registration {
            presence: vec![roots.root.join(SNAPS).join(snap), roots.home.join("snap").join(snap)],
            // The portal looks where the browser of a package would.
            manifest: (*sandbox == Sandbox::Portal).then(|| of_user(linux.hosts).join(file())),
            sandbox: sandbox.clone(),
            ..maker.registration(Form::Snap, host, ids)
        });
    }
    all
}

fn mac(maker: &Maker, roots: &Roots, host: &Path, ids: &Extensions) -> Option<Registration> {
    let (folder, hosts, program) = maker.mac?;
    let support = roots.home.join("Library/Application Support");
    let app = format!("Applications/{program}.app");
    Some(Registration {
        presence: vec![support.join(folder), roots.root.join(&app), roots.home.join(&app)],
        manifest: Some(support.join(hosts).join("NativeMessagingHosts").join(file())),
        ..maker.registration(Form::Package, host, ids)
    })
}

fn windows(maker: &Maker, roots: &Roots, host: &Path, ids: &Extensions) -> Option<Registration> {
    let (folder, key) = maker.windows?;
    let name = match maker.family {
        Family::Chromium => format!("{HOST_NAME}.chromium.json"),
        Family::Firefox => format!("{HOST_NAME}.firefox.json"),
    };
    Some(Registration {
        presence: vec![roots.home.join(folder)],
        manifest: Some(roots.home.join("AppData/Local/heyho-companion").join(name)),
        registry_key: Some(format!(r"{key}\NativeMessagingHosts\{HOST_NAME}")),
        ..maker.registration(Form::Package, host, ids)
    })
}
