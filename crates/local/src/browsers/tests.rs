use super::*;
use crate::config::Extensions;
use heyho_records::status::Browser;
use std::fs;
use std::path::Path;

struct Made {
    home: tempfile::TempDir,
    host: &'static str,
}

impl Made {
    fn new() -> Made {
        Made { home: tempfile::tempdir().unwrap(), host: "/opt/heyho/heyho-host" }
    }

    fn roots(&self) -> Roots {
        let home = self.home.path().to_owned();
        Roots { config: home.join(".config"), root: home.join("root"), home }
    }

    fn all(&self) -> Vec<Registration> {
        registrations(System::Linux, &self.roots(), Path::new(self.host), &Extensions::default())
    }

    /// With something in it, as each browser's has.
    fn folder(&self, path: &str) -> &Made {
        fs::create_dir_all(self.home.path().join(path).join("something")).unwrap();
        self
    }

    fn file(&self, path: &str, text: &str) -> &Made {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn stands(&self, browser: &str) -> Standing {
        standing(self.all().iter().find(|one| one.browser == browser).unwrap())
    }

    /// Every file and folder below the home.
    fn tree(&self) -> Vec<String> {
        fn walk(at: &Path, base: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(base).unwrap().display().to_string());
                if path.is_dir() {
                    walk(&path, base, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.home.path(), self.home.path(), &mut found);
        found.sort();
        found
    }

    fn rows(&self, heard: &[Browser]) -> Vec<BrowserRow> {
        survey(&self.all(), heard, &OptOut::default(), now())
    }
}

const MANIFEST: &str = "com.heyho.companion.json";

fn now() -> jiff::Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn heard(name: &str, connected: bool, last_seen_at: &str) -> Browser {
    Browser {
        name: name.into(),
        profile_id: format!("profile of {name}"),
        last_seen_at: Some(last_seen_at.parse().unwrap()),
        connected,
    }
}

/// Extensions name their browsers as they like: each name is one row, with its profiles.
#[test]
fn a_browser_that_nobody_knows_is_one_row_however_many_profiles_it_has() {
    let made = Made::new();
    let [one, two, other] = [("Arc", "p1"), ("ARC", "p2"), ("Opera GX", "p1")].map(|(name, profile_id)| {
        Browser { profile_id: profile_id.to_owned(), ..heard(name, name == "ARC", "2026-11-21T10:00:00Z") }
    });
    let rows = made.rows(&[one, other, two]);
    let said: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.state, row.profiles.len())).collect();
    assert_eq!(said, [("Arc", BrowserState::Connected, 2), ("Opera GX", BrowserState::Seen, 1)]);
}

/// A name in other letters is no other browser.
#[test]
fn a_known_browser_in_lower_case_is_that_browser() {
    let made = Made::new();
    let rows = made.rows(&[heard("firefox", true, "2026-11-21T10:00:00Z")]);
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["Firefox"]);
}

#[test]
fn every_system_has_its_own_places() {
    let of = |system, home: &str| {
        let home = Path::new(home);
        let roots = Roots { home: home.into(), config: home.join(".config"), root: "/".into() };
        registrations(system, &roots, Path::new("/opt/heyho-host"), &Extensions::default())
            .into_iter()
            .map(|one| {
                let manifest = one.manifest.map(|path| path.display().to_string());
                (one.browser, manifest.unwrap_or_default(), one.registry_key.unwrap_or_default())
            })
            .collect::<Vec<_>>()
    };
    let has = |all: &[(String, String, String)], browser: &str, manifest: &str, key: &str| {
        let wanted = (browser.to_owned(), manifest.to_owned(), key.to_owned());
        assert!(all.contains(&wanted), "{wanted:?} in {all:#?}");
    };
    let linux = of(System::Linux, "/u");
    for (browser, folder) in [
        ("chrome", ".config/google-chrome/NativeMessagingHosts"),
        ("chromium", ".config/chromium/NativeMessagingHosts"),
        ("edge", ".config/microsoft-edge/NativeMessagingHosts"),
        ("vivaldi", ".config/vivaldi/NativeMessagingHosts"),
        ("brave", ".config/BraveSoftware/Brave-Browser/NativeMessagingHosts"),
        ("opera", ".config/google-chrome/NativeMessagingHosts"),
        ("firefox", ".mozilla/native-messaging-hosts"),
        ("librewolf", ".librewolf/native-messaging-hosts"),
        ("zen", ".mozilla/native-messaging-hosts"),
        ("firefox-flatpak", ".var/app/org.mozilla.firefox/.mozilla/native-messaging-hosts"),
        ("chromium-flatpak", ".var/app/org.chromium.Chromium/config/chromium/NativeMessagingHosts"),
        ("firefox-snap", ".mozilla/native-messaging-hosts"),
    ] {
        has(&linux, browser, &format!("/u/{folder}/{MANIFEST}"), "");
    }
    has(&linux, "chromium-snap", "", "");
    let mac = of(System::MacOs, "/u");
    for (browser, folder) in [
        ("chrome", "Google/Chrome"),
        ("chromium", "Chromium"),
        ("edge", "Microsoft Edge"),
        ("vivaldi", "Vivaldi"),
        ("brave", "BraveSoftware/Brave-Browser"),
        ("opera", "Google/Chrome"),
        ("firefox", "Mozilla"),
        ("librewolf", "librewolf"),
        ("zen", "Mozilla"),
    ] {
        let path = format!("/u/Library/Application Support/{folder}/NativeMessagingHosts/{MANIFEST}");
        has(&mac, browser, &path, "");
    }
    let windows = of(System::Windows, "/u");
    for (browser, family, key) in [
        ("chrome", "chromium", r"Google\Chrome"),
        ("chromium", "chromium", "Chromium"),
        ("edge", "chromium", r"Microsoft\Edge"),
        ("brave", "chromium", r"BraveSoftware\Brave-Browser"),
        ("vivaldi", "chromium", "Vivaldi"),
        ("firefox", "firefox", "Mozilla"),
    ] {
        let path = format!("/u/AppData/Local/heyho-companion/com.heyho.companion.{family}.json");
        has(&windows, browser, &path, &format!(r"Software\{key}\NativeMessagingHosts\com.heyho.companion"));
    }
    assert!(!windows.iter().any(|(browser, ..)| browser == "librewolf"));
}

#[test]
fn a_browser_that_calls_itself_firefox_is_known_by_its_program() {
    for (says, program, is) in [
        ("Firefox", "/usr/lib/firefox-esr/firefox-esr", Some("Firefox")),
        ("Firefox", "/usr/lib/firefox/firefox-bin", Some("Firefox")),
        ("Firefox", "/opt/zen/zen-bin", Some("Zen")),
        ("Firefox", "/usr/share/librewolf/librewolf", Some("LibreWolf")),
        ("Firefox", "/usr/libexec/flatpak-session-helper", None),
        ("Chromium", "/opt/zen/zen", None),
    ] {
        assert_eq!(by_program(says, Path::new(program)), is, "{says} {program}");
    }
}

#[test]
fn a_package_ships_one_manifest_for_each_place_and_it_serves_every_user() {
    let made = Made::new();
    let shipped = for_all_users(Path::new(made.host));
    let mut places: Vec<_> = shipped.iter().map(|(place, _)| place.clone()).collect();
    places.dedup();
    assert_eq!(places.len(), shipped.len(), "one place, two manifests: {shipped:#?}");
    assert!(places.iter().all(|place| place.is_relative()), "{places:?}");
    for (place, contents) in &shipped {
        made.file(&format!("root/{}", place.display()), contents);
    }
    for (browser, folder) in [
        ("chrome", "google-chrome"),
        ("chromium", "chromium"),
        ("edge", "microsoft-edge"),
        ("opera", "opera"),
    ] {
        made.folder(&format!(".config/{folder}"));
        assert_eq!(made.stands(browser), Standing::Registered, "{browser}");
    }
    made.folder(".mozilla");
    assert_eq!(made.stands("firefox"), Standing::Registered);
    // With that, nothing is written for a user.
    let before = made.tree();
    register(&made.all(), None).unwrap();
    assert_eq!(made.tree(), before);
}

#[test]
fn every_browser_that_is_there_is_registered_and_no_other() {
    let made = Made::new();
    for folder in [
        ".config/google-chrome",
        ".config/chromium",
        ".config/microsoft-edge",
        ".config/vivaldi",
        ".config/BraveSoftware/Brave-Browser",
        ".config/opera",
        ".mozilla",
        ".librewolf",
        ".zen",
        ".local/share/flatpak/app/org.mozilla.firefox",
        "root/var/lib/flatpak/app/com.brave.Browser",
        "snap/firefox",
        "snap/chromium",
    ] {
        made.folder(folder);
    }
    register(&made.all(), None).unwrap();
    for registration in made.all() {
        let wanted = match registration.browser.as_str() {
            "firefox-flatpak" | "brave-flatpak" | "chromium-snap" => Standing::Blocked,
            browser if browser.ends_with("-flatpak") || browser.ends_with("-snap") => match browser {
                "firefox-snap" => Standing::Registered,
                _ => Standing::NotInstalled,
            },
            _ => Standing::Registered,
        };
        assert_eq!(standing(&registration), wanted, "{}", registration.browser);
    }
    assert!(!made.home.path().join(".var/app/com.google.Chrome").exists());
}

#[test]
fn a_browser_that_was_never_started_is_there_all_the_same() {
    let made = Made::new();
    assert_eq!(made.stands("chromium"), Standing::NotInstalled);
    made.file("root/usr/bin/chromium", "").file("root/usr/bin/firefox-esr", "");
    assert_eq!(made.stands("chromium"), Standing::NotRegistered);
    register(&made.all(), None).unwrap();
    assert_eq!(
        (made.stands("chromium"), made.stands("firefox")),
        (Standing::Registered, Standing::Registered)
    );
}

/// As Firefox 153 has it, installed anew from its maker's archive.
#[test]
fn a_browser_whose_folder_has_moved_is_there_and_has_its_manifest_where_it_looks() {
    let made = Made::new();
    made.folder(".config/mozilla/firefox").folder(".config/librewolf").folder(".config/zen");
    let before = made.tree();
    for (browser, hosts) in [("firefox", ".mozilla"), ("librewolf", ".librewolf"), ("zen", ".mozilla")] {
        assert_eq!(made.stands(browser), Standing::NotRegistered, "{browser}");
        register(&made.all(), Some(browser)).unwrap();
        assert_eq!(made.stands(browser), Standing::Registered, "{browser}");
        assert!(made.tree().contains(&format!("{hosts}/native-messaging-hosts/{MANIFEST}")));
        unregister(&made.all(), Some(browser), &OptOut { all: true, ..OptOut::default() }).unwrap();
        assert_eq!(made.tree(), before, "{browser}");
    }
}

/// Each reads another browser's manifests, in a folder that registering makes: it brings that browser no row, and goes
/// with the one that it was made for.
#[test]
fn a_folder_that_only_holds_manifests_is_no_browser() {
    for (folder, browser, hosts) in [
        (".config/opera", "opera", ".config/google-chrome/NativeMessagingHosts"),
        (".zen", "zen", ".mozilla/native-messaging-hosts"),
        ("snap/firefox", "firefox-snap", ".mozilla/native-messaging-hosts"),
    ] {
        let made = Made::new();
        made.folder(&format!("{folder}/profile"));
        let before = made.tree();
        register(&made.all(), None).unwrap();
        assert_eq!(made.stands(browser), Standing::Registered);
        let says = made.all().into_iter().find(|one| one.browser == browser).unwrap().says;
        let rows = made.rows(&[heard(says, true, "2026-11-21T11:59:00Z")]);
        let said: Vec<_> = rows.iter().map(|row| (row.browser.as_str(), row.state)).collect();
        assert_eq!(said, [(browser, BrowserState::Connected)]);
        assert!(repair(&made.all(), &OptOut::default()).unwrap().is_empty());
        unregister(&made.all(), Some(browser), &without(&[browser])).unwrap();
        assert_eq!(made.tree(), before, "{browser}");

        // Nor does another program's manifest bring one.
        made.file(&format!("{hosts}/org.other.json"), "{}");
        assert_eq!(made.rows(&[]).len(), 1, "{browser}");
    }
}

#[test]
fn a_script_that_starts_the_snap_is_no_package() {
    let made = Made::new();
    made.folder("root/snap/bin").file("root/snap/bin/firefox", "").file("root/snap/bin/chromium", "");
    made.file("root/usr/bin/firefox", "#!/bin/sh\nexec /snap/bin/firefox \"$@\"\n");
    made.file("root/usr/bin/chromium-browser", "#!/bin/sh\nexec /snap/bin/chromium \"$@\"\n");
    let rows = made.rows(&[]);
    let said: Vec<_> = rows.iter().map(|row| row.browser.as_str()).collect();
    assert_eq!(said, ["chromium-snap", "firefox-snap"]);
    // As Debian starts its own.
    made.file("root/usr/bin/firefox", "#!/bin/sh\nexec /usr/lib/firefox-esr/firefox-esr \"$@\"\n");
    assert_eq!(made.stands("firefox"), Standing::NotRegistered);
}

#[test]
fn unregistering_leaves_nothing_behind() {
    let made = Made::new();
    made.folder(".config/other");
    made.file("root/usr/bin/chromium", "").folder("root/usr/bin").folder(".mozilla/firefox");
    made.folder("root/var/lib/flatpak/app/org.mozilla.firefox").folder(".var/app/org.mozilla.firefox/cache");
    let before = made.tree();
    register(&made.all(), None).unwrap();
    assert_ne!(made.tree(), before);
    unregister(&made.all(), None, &OptOut::default()).unwrap();
    assert_eq!(made.tree(), before);
}

#[test]
fn what_somebody_else_wrote_or_changed_is_left_alone() {
    let made = Made::new();
    let theirs = format!(".config/vivaldi/NativeMessagingHosts/{MANIFEST}");
    made.folder(".config/chromium").folder(".config/vivaldi").file(&theirs, "{\"name\":\"mine\"}");
    register(&made.all(), None).unwrap();
    assert_eq!((made.stands("chromium"), made.stands("vivaldi")), (Standing::Registered, Standing::Changed));

    // A person's own wrapper around our host, in our manifest.
    let path = made.home.path().join(format!(".config/chromium/NativeMessagingHosts/{MANIFEST}"));
    let changed = fs::read_to_string(&path).unwrap().replace("/heyho-host", "/my-heyho-host");
    fs::write(&path, &changed).unwrap();
    assert_eq!(made.stands("chromium"), Standing::Changed);
    repair(&made.all(), &OptOut::default()).unwrap();
    register(&made.all(), Some("chromium")).unwrap();
    unregister(&made.all(), None, &OptOut::default()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), changed);
    assert_eq!(fs::read_to_string(made.home.path().join(theirs)).unwrap(), "{\"name\":\"mine\"}");
}

#[test]
fn a_manifest_that_is_no_text_and_a_wrapper_that_was_changed_are_left_alone_too() {
    let made = Made::new();
    let vivaldi = made.home.path().join(".config/vivaldi/NativeMessagingHosts").join(MANIFEST);
    made.folder(".config/vivaldi/NativeMessagingHosts")
        .folder(".config/vivaldi")
        .folder("root/var/lib/flatpak/app/org.mozilla.firefox");
    fs::write(&vivaldi, b"\xff\xfe{\0}\0").unwrap();
    register(&made.all(), None).unwrap();
    assert_eq!(made.stands("vivaldi"), Standing::Changed);
    assert_eq!(fs::read(&vivaldi).unwrap(), b"\xff\xfe{\0}\0");

    let wrapper = made.home.path().join(".var/app/org.mozilla.firefox/heyho-companion/heyho-host");
    let mine = fs::read_to_string(&wrapper).unwrap().replace("exec", "date >> /tmp/starts\nexec");
    fs::write(&wrapper, &mine).unwrap();
    register(&made.all(), None).unwrap();
    let moved = Made { home: made.home, host: "/elsewhere/heyho-host" };
    repair(&moved.all(), &OptOut::default()).unwrap();
    assert_eq!(fs::read_to_string(&wrapper).unwrap(), mine);
    unregister(&moved.all(), None, &OptOut::default()).unwrap();
    assert_eq!(fs::read_to_string(&wrapper).unwrap(), mine);
    assert!(vivaldi.exists());
}

#[cfg(unix)]
#[test]
fn the_browsers_own_folder_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let made = Made::new();
    let folder = made.home.path().join(".config/vivaldi/NativeMessagingHosts");
    made.folder(".config/vivaldi/NativeMessagingHosts").folder(".config/vivaldi");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    register(&made.all(), None).unwrap();
    assert!(folder.join(MANIFEST).exists());
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_moved_program_is_followed_at_the_next_start() {
    let mut made = Made::new();
    made.folder(".config/chromium").folder("root/var/lib/flatpak/app/org.mozilla.firefox");
    assert!(repair(&made.all(), &OptOut::default()).unwrap().is_empty(), "nobody has said yes yet");
    register(&made.all(), Some("chromium")).unwrap();
    assert_eq!(repair(&made.all(), &OptOut::default()).unwrap(), ["firefox-flatpak"]);
    assert!(repair(&made.all(), &OptOut::default()).unwrap().is_empty(), "nothing is written twice");
    made.host = "/usr/bin/heyho-host";
    assert_eq!(made.stands("chromium"), Standing::Outdated);
    assert_eq!(repair(&made.all(), &OptOut::default()).unwrap(), ["chromium", "firefox-flatpak"]);
    assert_eq!(made.stands("chromium"), Standing::Registered);
}

#[test]
fn an_opt_out_is_honoured_for_all_or_for_one() {
    let mut made = Made::new();
    made.folder(".config/chromium").folder(".mozilla");
    register(&made.all(), Some("chromium")).unwrap();
    made.host = "/usr/bin/heyho-host";
    let none = OptOut { all: true, some: vec![] };
    assert!(repair(&made.all(), &none).unwrap().is_empty());
    let some = OptOut { all: false, some: vec!["Firefox".into()] };
    assert_eq!(repair(&made.all(), &some).unwrap(), ["chromium"]);
    let rows = survey(&made.all(), &[], &some, now());
    let firefox = rows.iter().find(|row| row.browser == "firefox").unwrap();
    assert_eq!((firefox.state, firefox.can_register), (BrowserState::OptedOut, true));
}

#[test]
fn a_package_of_the_system_registers_for_everyone() {
    let made = Made::new();
    made.folder(".config/chromium");
    let all = made.all();
    let chromium = all.iter().find(|one| one.browser == "chromium").unwrap();
    let system = chromium.system_manifest.as_ref().unwrap();
    fs::create_dir_all(system.parent().unwrap()).unwrap();
    fs::write(system, &chromium.contents).unwrap();
    assert_eq!(standing(chromium), Standing::Registered);
    assert!(repair(&all, &OptOut::default()).unwrap().is_empty(), "no second one for this user");
    // One that points elsewhere does not help this program.
    fs::write(system, chromium.contents.replace("/opt/heyho/", "/elsewhere/")).unwrap();
    assert_eq!(standing(chromium), Standing::NotRegistered);
}

#[test]
fn a_flatpak_is_blocked_until_the_user_has_allowed_it() {
    let made = Made::new();
    made.folder("root/var/lib/flatpak/app/org.mozilla.firefox");
    register(&made.all(), None).unwrap();
    let row = made.rows(&[]).remove(0);
    assert_eq!((row.state, row.form), (BrowserState::Blocked, Form::Flatpak));
    let command = "flatpak override --user --talk-name=org.freedesktop.Flatpak org.mozilla.firefox";
    assert_eq!(row.command.as_deref(), Some(command));
    let wrapper = made.home.path().join(".var/app/org.mozilla.firefox/heyho-companion/heyho-host");
    let text = fs::read_to_string(&wrapper).unwrap();
    assert!(text.contains("exec flatpak-spawn --host '/opt/heyho/heyho-host' \"$@\""), "{text}");
    made.file(
        ".local/share/flatpak/overrides/org.mozilla.firefox",
        "[Session Bus Policy]\norg.freedesktop.Flatpak=talk\n",
    );
    assert_eq!(made.rows(&[])[0].state, BrowserState::Registered);
    // Taken back; then for all users, and for all programs.
    for (file, policy, state) in [
        (".local/share/flatpak/overrides/org.mozilla.firefox", "none", BrowserState::Blocked),
        ("root/var/lib/flatpak/overrides/org.mozilla.firefox", "talk", BrowserState::Blocked),
        (".local/share/flatpak/overrides/org.mozilla.firefox", "", BrowserState::Registered),
        ("root/var/lib/flatpak/overrides/org.mozilla.firefox", "", BrowserState::Blocked),
        (".local/share/flatpak/overrides/global", "talk", BrowserState::Registered),
    ] {
        let line =
            if policy.is_empty() { String::new() } else { format!("org.freedesktop.Flatpak={policy}\n") };
        made.file(file, &format!("[Context]\nshared=network\n[Session Bus Policy]\n{line}[Environment]\n"));
        assert_eq!(made.rows(&[])[0].state, state, "{file}: {policy}");
    }
    // Without its program the manifest helps nobody.
    fs::remove_file(&wrapper).unwrap();
    assert_eq!(made.stands("firefox-flatpak"), Standing::Outdated);
}

#[test]
fn each_browser_says_how_it_stands() {
    let made = Made::new();
    for folder in
        [".config/google-chrome", ".config/chromium", ".config/vivaldi", ".mozilla", "snap/chromium"]
    {
        made.folder(folder);
    }
    register(&made.all(), Some("chrome")).unwrap();
    register(&made.all(), Some("firefox")).unwrap();
    register(&made.all(), Some("vivaldi")).unwrap();
    let rows = made.rows(&[
        heard("Chrome", true, "2026-11-21T11:59:00Z"),
        heard("Firefox", false, "2026-11-16T12:00:00Z"),
        heard("Ladybird", false, "2026-11-21T11:00:00Z"),
    ]);
    let said: Vec<_> = rows.iter().map(|row| (row.browser.as_str(), row.state, row.can_register)).collect();
    assert_eq!(
        said,
        [
            ("chrome", BrowserState::Connected, false),
            ("chromium", BrowserState::NotRegistered, true),
            ("chromium-snap", BrowserState::Blocked, false),
            ("vivaldi", BrowserState::Registered, false),
            ("firefox", BrowserState::Quiet, false),
            ("ladybird", BrowserState::Seen, false),
        ]
    );
    assert_eq!(rows[4].quiet_days, Some(5));
    assert!(rows[4].sentence.contains("5 days"), "{}", rows[4].sentence);
    assert_eq!(rows[0].profiles[0].profile_id, "profile of Chrome");
}

#[test]
fn one_quiet_profile_beside_a_living_one_is_said_of_the_profile_only() {
    let made = Made::new();
    made.folder(".config/chromium");
    register(&made.all(), None).unwrap();
    let rows = made.rows(&[
        heard("Chromium", false, "2026-11-01T12:00:00Z"),
        heard("Chromium", false, "2026-11-21T11:00:00Z"),
    ]);
    assert_eq!(rows[0].state, BrowserState::Seen);
    assert_eq!(rows[0].profiles.iter().map(|p| p.quiet).collect::<Vec<_>>(), [true, false]);
}

/// Something in the way that stops everybody, also root: a file where a folder belongs, a folder where a file does.
#[test]
fn one_browser_that_cannot_be_written_costs_the_others_nothing() {
    let made = Made::new();
    let blocked = ".config/google-chrome/NativeMessagingHosts";
    made.folder(".config/google-chrome")
        .file(blocked, "")
        .folder(".config/chromium/Default")
        .folder(".mozilla/firefox");
    made.folder("root/var/lib/flatpak/app/org.mozilla.firefox");
    let stand = |made: &Made| [made.stands("chromium"), made.stands("firefox")];
    let error = register(&made.all(), None).unwrap_err().to_string();
    assert!(error.starts_with("chrome: ") && !error.contains("chromium"), "{error}");
    assert_eq!(stand(&made), [Standing::Registered; 2]);

    fs::remove_file(made.home.path().join(format!(".config/chromium/NativeMessagingHosts/{MANIFEST}")))
        .unwrap();
    assert!(repair(&made.all(), &OptOut::default()).is_err());
    assert_eq!(stand(&made), [Standing::Registered; 2]);

    // The first that is asked cannot be taken away.
    fs::remove_file(made.home.path().join(blocked)).unwrap();
    made.folder("root/var/lib/flatpak/app/com.google.Chrome");
    made.folder(".var/app/com.google.Chrome/heyho-companion/heyho-host/in-the-way");
    let error = unregister(&made.all(), None, &OptOut::default()).unwrap_err().to_string();
    assert!(error.starts_with("chrome-flatpak: "), "{error}");
    assert_eq!(stand(&made), [Standing::NotRegistered; 2]);
}

fn without(browsers: &[&str]) -> OptOut {
    OptOut { all: false, some: browsers.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn a_registration_that_two_browsers_read_stays_as_long_as_one_is_wanted() {
    let made = Made::new();
    made.folder(".mozilla/firefox").folder(".zen");
    let before = made.tree();
    register(&made.all(), None).unwrap();
    let zen = without(&["zen"]);
    unregister(&made.all(), Some("zen"), &zen).unwrap();
    assert_eq!(made.stands("firefox"), Standing::Registered);
    let rows = survey(&made.all(), &[], &zen, now());
    let said = |browser: &str| rows.iter().find(|row| row.browser == browser).unwrap().sentence.clone();
    assert!(said("zen").contains("reads the registration of Firefox:"), "{}", said("zen"));
    assert!(!said("firefox").contains("did not want"), "{}", said("firefox"));
    let all = made.all();
    let one = |browser: &str| all.iter().find(|one| one.browser == browser).unwrap();
    assert_eq!(held(one("zen"), &all, &zen), Some(Held::With(one("firefox"))));
    assert_eq!(held(one("firefox"), &all, &zen), None);

    let both = without(&["zen", "firefox"]);
    unregister(&made.all(), Some("firefox"), &both).unwrap();
    assert_eq!(made.tree(), before);
}

#[test]
fn what_a_package_registers_for_all_is_not_unregistered_and_that_is_said() {
    let made = Made::new();
    made.folder(".mozilla/firefox");
    for (place, contents) in for_all_users(Path::new(made.host)) {
        made.file(&format!("root/{}", place.display()), &contents);
    }
    let firefox = without(&["firefox"]);
    unregister(&made.all(), Some("firefox"), &firefox).unwrap();
    let row = survey(&made.all(), &[], &firefox, now()).remove(0);
    assert!(row.sentence.contains("only removing that package"), "{}", row.sentence);
    let all = made.all();
    let one = all.iter().find(|one| one.browser == "firefox").unwrap();
    assert_eq!(held(one, &all, &firefox), Some(Held::ForAllUsers));
    assert_eq!(held(one, &all, &OptOut::default()), None);
}

#[test]
fn registering_what_was_not_wanted_is_a_wish_too() {
    let mut made = Made::new();
    made.folder(".config/chromium/Default").folder(".mozilla/firefox");
    let file = made.home.path().join("config.toml");
    let config = ask(&file, &Config::default(), &made.all(), None, true).unwrap();
    let config = ask(&file, &config, &made.all(), Some("Firefox"), false).unwrap();
    assert_eq!(config.opt_out(), without(&["firefox"]));
    assert_eq!(made.stands("firefox"), Standing::NotRegistered);
    let config = ask(&file, &config, &made.all(), Some("firefox"), true).unwrap();
    assert_eq!((config.opt_out(), Config::load(&file).unwrap()), (OptOut::default(), config.clone()));
    // So that an update is followed.
    made.host = "/usr/bin/heyho-host";
    assert_eq!(repair(&made.all(), &config.opt_out()).unwrap(), ["chromium", "firefox"]);
}

#[test]
fn an_appimage_is_known_by_where_the_program_lies() {
    let program = Path::new("/tmp/.mount_HeyHo1/usr/bin/heyho");
    assert!(is_mounted(program, Some(Path::new("/tmp/.mount_HeyHo1"))));
    assert!(is_mounted(program, None));
    assert!(!is_mounted(program, Some(Path::new("/tmp/.mount_Editor2"))), "a terminal of another AppImage");
}
