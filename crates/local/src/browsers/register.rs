//! Writing manifests, mending them, taking them away.

use super::OptOut;
use super::manifest::{is_ours, is_outside, serves};
use super::places::{Registration, Sandbox};
use super::removal::{Removal, removals};
use crate::paths::{private_dir, write_whole};
use heyho_records::fault::planted;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How a browser stands by what lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    NotInstalled,
    NotRegistered,
    Registered,
    /// Ours, and of another place or version: registering again mends it.
    Outdated,
    /// Somebody else's words stand there; they are left alone.
    Changed,
    /// Registered, as far as that helps: its sandbox lets nothing out until the user has allowed it.
    Blocked,
}

pub fn standing(registration: &Registration) -> Standing {
    if !is_there(registration) {
        return Standing::NotInstalled;
    }
    let Some(manifest) = &registration.manifest else { return Standing::Blocked };
    // What is no text is somebody's as well.
    match std::fs::read(manifest).map(|found| String::from_utf8_lossy(&found).into_owned()) {
        Ok(found) if found == registration.contents => whole(registration),
        Ok(found) if is_ours(&found) || planted("writes-over-changes") => Standing::Outdated,
        Ok(_) => Standing::Changed,
        Err(_) if serves_all_users(registration) => Standing::Registered,
        Err(_) => Standing::NotRegistered,
    }
}

/// What other programs put into a browser's folder, ourselves among them, also where that browser is not: manifests
/// (Opera reads Chrome's, Zen and Firefox's snap those of Firefox), and what is to be installed in it.
const OF_OTHERS: &[&str] = &[
    "NativeMessagingHosts",
    "native-messaging-hosts",
    "External Extensions",
    "managed-storage",
    "pkcs11-modules",
    ".DS_Store",
];
/// What stands in `/usr/bin` under a browser's name and starts the one of another form: Ubuntu's scripts for its snaps.
const STARTS_ANOTHER: [&str; 2] = ["/snap/bin/", "flatpak run"];

fn is_there(registration: &Registration) -> bool {
    registration
        .presence
        .iter()
        .any(|path| path.exists() && !holds_only_others(path) && !starts_another(path))
}

fn holds_only_others(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut names = entries.filter_map(Result::ok).map(|entry| entry.file_name()).peekable();
    names.peek().is_some() && names.all(|name| OF_OTHERS.iter().any(|other| name == *other))
}

fn starts_another(program: &Path) -> bool {
    let mut text = Vec::new();
    let read = File::open(program).and_then(|file| file.take(4096).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    read.is_ok() && text.starts_with("#!") && STARTS_ANOTHER.iter().any(|sign| text.contains(sign))
}

/// With the right manifest: is the rest as it must be?
fn whole(registration: &Registration) -> Standing {
    let wrapped = registration.wrapper.as_ref().is_none_or(|(path, text)| {
        std::fs::read(path).is_ok_and(|found| found == text.as_bytes() || is_changed(path))
    });
    if !wrapped || !platform::is_pointed(registration) {
        return Standing::Outdated;
    }
    match &registration.sandbox {
        Sandbox::Flatpak { overrides, .. } if !may_spawn(overrides) => Standing::Blocked,
        _ => Standing::Registered,
    }
}

/// A wrapper that somebody has changed is theirs.
fn is_changed(wrapper: &Path) -> bool {
    std::fs::read(wrapper).is_ok_and(|found| !is_outside(&String::from_utf8_lossy(&found)))
}

fn serves_all_users(registration: &Registration) -> bool {
    let found = registration.system_manifest.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    found.is_some_and(|found| serves(&found, &registration.contents))
}

/// Whether `flatpak override --talk-name=org.freedesktop.Flatpak ID` was said, for all users or by this one, and not
/// taken back by what counts more.
fn may_spawn(overrides: &[PathBuf]) -> bool {
    let mut said = overrides.iter().rev().filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        let lines = text.lines().map(|line| line.replace(' ', ""));
        let on_the_session_bus = lines
            .skip_while(|line| line != "[SessionBusPolicy]")
            .skip(1)
            .take_while(|line| !line.starts_with('['));
        let policies = on_the_session_bus.filter_map(|line| Some(line.strip_prefix(FLATPAK)?.to_owned()));
        policies.last()
    });
    said.next().is_some_and(|policy| policy == "talk" || policy == "own")
}

/// The service that starts programs outside.
const FLATPAK: &str = "org.freedesktop.Flatpak=";

/// Whether somebody has said yes before: something of ours stands in one of the places.
fn begun(all: &[Registration]) -> bool {
    all.iter()
        .filter_map(|one| one.manifest.as_ref())
        .any(|path| std::fs::read_to_string(path).is_ok_and(|found| is_ours(&found)))
}

/// At each start: writes what is missing or outdated where the browser is installed and the user has not opted
/// out. Nothing before the user has registered the first browser. Answers the names of those it wrote.
pub fn repair(all: &[Registration], opt_out: &OptOut) -> io::Result<Vec<String>> {
    if !begun(all) {
        return Ok(Vec::new());
    }
    each(all.iter().filter(|one| !opt_out.holds_for(&one.browser)), |one| one, write)
}

/// What was asked for by name, or all that is installed.
pub fn register(all: &[Registration], browser: Option<&str>) -> io::Result<()> {
    each(chosen(all, browser), |one| one, write).map(drop)
}

/// Takes away what is ours, and leaves nothing behind. A file that another browser reads stays, where that one is
/// wanted (`opt_out`): only [`held`] can be said of it.
pub fn unregister(all: &[Registration], browser: Option<&str>, opt_out: &OptOut) -> io::Result<()> {
    let removals = removals(all, browser, opt_out, is_there);
    let remove = |removal| match removal {
        Removal::Key(one) if has_foreign_manifest(one) => Ok(false),
        Removal::Key(one) => platform::forget(one).map(|()| true),
        Removal::Files(one) => erase(one),
    };
    each(removals.into_iter(), Removal::of, remove).map(drop)
}

fn has_foreign_manifest(one: &Registration) -> bool {
    let found = one.manifest.as_ref().and_then(|manifest| std::fs::read(manifest).ok());
    found.is_some_and(|found| !is_ours(&String::from_utf8_lossy(&found)))
}

/// One browser after the other, whatever becomes of each: what cannot be done for one costs the others nothing.
/// Answers the names of those that were changed, or what was refused by which.
fn each<'a, T: Copy>(
    chosen: impl Iterator<Item = T>,
    of: impl Fn(T) -> &'a Registration,
    act: impl Fn(T) -> io::Result<bool>,
) -> io::Result<Vec<String>> {
    let (mut changed, mut refused) = (Vec::new(), Vec::new());
    for this in chosen {
        let one = of(this);
        match act(this) {
            Ok(true) => changed.push(one.browser.clone()),
            Ok(false) => {}
            Err(error) => refused.push(format!("{}: {error}", one.browser)),
        }
    }
    match refused.is_empty() {
        true => Ok(changed),
        false => Err(io::Error::other(refused.join("; "))),
    }
}

fn erase(registration: &Registration) -> io::Result<bool> {
    // One that is no longer installed may have left its manifest.
    let Some(manifest) = &registration.manifest else { return Ok(false) };
    let ours = std::fs::read_to_string(manifest).is_ok_and(|found| is_ours(&found));
    if ours {
        take_away(manifest)?;
    }
    if let Some((wrapper, _)) = &registration.wrapper
        && wrapper.exists()
        && !manifest.exists()
        && !is_changed(wrapper)
    {
        take_away(wrapper)?;
    }
    Ok(ours)
}

/// The other browsers that are there, are wanted, and read the same manifest.
fn readers<'a>(
    one: &'a Registration,
    all: &'a [Registration],
    opt_out: &'a OptOut,
) -> impl Iterator<Item = &'a Registration> {
    all.iter().filter(|other| {
        one.manifest.is_some()
            && other.manifest == one.manifest
            && other.browser != one.browser
            && !opt_out.holds_for(&other.browser)
            && is_there(other)
    })
}

/// Why a browser that the user does not want registered is registered all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held<'a> {
    /// One that is wanted reads the same file.
    With(&'a Registration),
    /// A package of the system has registered it for all users.
    ForAllUsers,
}

pub fn held<'a>(one: &'a Registration, all: &'a [Registration], opt_out: &'a OptOut) -> Option<Held<'a>> {
    if !opt_out.holds_for(&one.browser) || standing(one) != Standing::Registered {
        return None;
    }
    if one.manifest.as_ref().is_some_and(|manifest| manifest.exists()) {
        return readers(one, all, opt_out).next().map(Held::With);
    }
    Some(Held::ForAllUsers)
}

fn chosen<'a>(all: &'a [Registration], browser: Option<&'a str>) -> impl Iterator<Item = &'a Registration> {
    all.iter().filter(move |one| browser.is_none_or(|name| one.browser.eq_ignore_ascii_case(name)))
}

fn write(registration: &Registration) -> io::Result<bool> {
    if !matches!(standing(registration), Standing::NotRegistered | Standing::Outdated) {
        return Ok(false);
    }
    let Some(manifest) = &registration.manifest else { return Ok(false) };
    // The program first: a manifest must never point to nothing.
    if let Some((path, text)) = registration.wrapper.as_ref().filter(|(path, _)| !is_changed(path)) {
        write_beside(path, text)?;
        platform::executable(path)?;
    }
    write_beside(manifest, &registration.contents)?;
    platform::point(registration)?;
    Ok(true)
}

/// In a folder that is often the browser's own: one that is there keeps its mode.
fn write_beside(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.exists()) {
        private_dir(folder)?;
    }
    write_whole(file, text.as_bytes())
}

/// The file, and the folders that are empty without it.
fn take_away(file: &Path) -> io::Result<()> {
    std::fs::remove_file(file)?;
    let folders = file.ancestors().skip(1);
    for folder in folders {
        // One that is not empty refuses, and so does every folder above it.
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(unix)]
mod platform {
    use super::Registration;
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    pub fn executable(path: &Path) -> io::Result<()> {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
    }

    pub fn is_pointed(_registration: &Registration) -> bool {
        true
    }

    pub fn point(_registration: &Registration) -> io::Result<()> {
        Ok(())
    }

    pub fn forget(_registration: &Registration) -> io::Result<()> {
        Ok(())
    }
}

/// Not compiled on the machines this is developed on (docs/platforms.md).
#[cfg(windows)]
mod platform {
    use super::super::registry::default_value;
    use super::Registration;
    use std::io;
    use std::path::Path;
    use std::process::Command;

    pub fn executable(_path: &Path) -> io::Result<()> {
        Ok(())
    }

    pub fn is_pointed(registration: &Registration) -> bool {
        let (Some(key), Some(manifest)) = (&registration.registry_key, &registration.manifest) else {
            return true;
        };
        exported(key, manifest)
            .is_some_and(|text| default_value(&text) == Some(manifest.display().to_string()))
    }

    /// Written beside the manifest, in a folder of the user's own; nothing where there is no such key.
    fn exported(key: &str, manifest: &Path) -> Option<Vec<u8>> {
        let file = manifest.with_extension(format!("{}.reg", std::process::id()));
        let asked = Command::new("reg")
            .args(["export", &format!(r"HKCU\{key}")])
            .arg(&file)
            .arg("/y")
            .output()
            .ok()?;
        let text = asked.status.success().then(|| std::fs::read(&file).ok())?;
        drop(std::fs::remove_file(&file));
        text
    }

    pub fn point(registration: &Registration) -> io::Result<()> {
        let (Some(key), Some(manifest)) = (&registration.registry_key, &registration.manifest) else {
            return Ok(());
        };
        reg(Command::new("reg").args(["add", &format!(r"HKCU\{key}"), "/ve", "/d"]).arg(manifest).arg("/f"))
    }

    pub fn forget(registration: &Registration) -> io::Result<()> {
        let Some(key) = &registration.registry_key else { return Ok(()) };
        if !is_pointed(registration) {
            return Ok(());
        }
        reg(Command::new("reg").args(["delete", &format!(r"HKCU\{key}"), "/f"]))
    }

    fn reg(command: &mut Command) -> io::Result<()> {
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("reg.exe did not succeed")) }
    }
}
