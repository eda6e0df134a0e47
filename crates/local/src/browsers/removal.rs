//! What unregistering takes away, and in which order. Pure: nothing here asks the disk or the registry, so that what
//! is done on Windows is tested on every system.
//!
//! A key or a file goes when no browser that stays reads it: one that is there, is wanted and is not meant. Keys go
//! before files: it is the file that says whether the key is ours.

use super::OptOut;
use super::places::Registration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal<'a> {
    /// Of the Windows registry.
    Key(&'a Registration),
    /// The manifest, and the program that starts the host outside of a sandbox.
    Files(&'a Registration),
}

impl<'a> Removal<'a> {
    pub(super) fn of(self) -> &'a Registration {
        match self {
            Removal::Key(one) | Removal::Files(one) => one,
        }
    }
}

/// One browser by its name, or all.
pub(super) fn removals<'a>(
    all: &'a [Registration],
    browser: Option<&str>,
    opt_out: &OptOut,
    there: impl Fn(&Registration) -> bool,
) -> Vec<Removal<'a>> {
    let meant = |one: &Registration| browser.is_none_or(|name| one.browser.eq_ignore_ascii_case(name));
    let stays = |one: &Registration| !meant(one) && !opt_out.holds_for(&one.browser) && there(one);
    let (mut keys, mut files) = (Vec::new(), Vec::new());
    for one in all.iter().filter(|one| meant(one)) {
        let key_is_read = all.iter().any(|other| stays(other) && other.registry_key == one.registry_key);
        if one.registry_key.is_some() && !key_is_read {
            keys.push(Removal::Key(one));
        }
        let file_is_read = all.iter().any(|other| stays(other) && other.manifest == one.manifest);
        if one.manifest.is_some() && !file_is_read {
            files.push(Removal::Files(one));
        }
    }
    keys.append(&mut files);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browsers::places::{Roots, System, registrations};
    use crate::config::Extensions;
    use std::path::Path;

    /// Of these browsers on Windows: the keys that go, then how many files, of which browsers.
    fn on_windows(there: &[&str], unwanted: &[&str], browser: Option<&str>) -> (Vec<String>, Vec<String>) {
        let roots = Roots { home: "/u".into(), config: "/u/.config".into(), root: "/".into() };
        let all =
            registrations(System::Windows, &roots, Path::new("/heyho-host.exe"), &Extensions::default());
        let opt_out = OptOut { all: false, some: unwanted.iter().map(|name| (*name).to_owned()).collect() };
        let removals = removals(&all, browser, &opt_out, |one| there.contains(&one.browser.as_str()));
        let files_from = removals.iter().position(|one| matches!(one, Removal::Files(_)));
        let (keys, files) = removals.split_at(files_from.unwrap_or(removals.len()));
        assert!(keys.iter().all(|one| matches!(one, Removal::Key(_))), "keys first: {removals:?}");
        assert!(files.iter().all(|one| matches!(one, Removal::Files(_))));
        let of = |these: &[Removal]| these.iter().map(|one| one.of().browser.clone()).collect();
        (of(keys), of(files))
    }

    #[test]
    fn without_a_name_every_key_and_every_file_goes() {
        let (keys, files) = on_windows(&["chrome", "edge", "firefox"], &[], None);
        let all = ["chrome", "chromium", "edge", "brave", "vivaldi", "opera", "firefox", "zen"];
        assert_eq!((keys, files), (all.map(str::to_owned).to_vec(), all.map(str::to_owned).to_vec()));
    }

    #[test]
    fn one_browser_of_a_family_loses_its_key_and_leaves_the_file_to_the_others() {
        let none = Vec::<String>::new;
        assert_eq!(on_windows(&["chrome", "edge"], &[], Some("Chrome")), (vec!["chrome".into()], none()));
        // Opera reads Chrome's key.
        assert_eq!(on_windows(&["chrome", "opera"], &[], Some("chrome")), (none(), none()));
        assert_eq!(on_windows(&["firefox", "zen"], &[], Some("zen")), (none(), none()));
    }

    #[test]
    fn the_last_that_is_wanted_takes_the_file_with_it() {
        let chrome = || vec!["chrome".to_owned()];
        assert_eq!(on_windows(&["chrome", "firefox"], &[], Some("chrome")), (chrome(), chrome()));
        assert_eq!(on_windows(&["chrome", "edge"], &["edge"], Some("chrome")), (chrome(), chrome()));
    }
}
