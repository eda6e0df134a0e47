//! What a manifest says, and whether it is still what we wrote.
//!
//! Format: the browser's own JSON. `description` ends with a digest, in brackets, of everything else in it; a
//! manifest in which the two agree was written by us and changed by nobody. Spacing does not count.

use super::places::Family;
use crate::config::Extensions;
use heyho_records::json::Json;
use heyho_records::native::HOST_NAME;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// The extensions this product ships (extension/ids.json).
const SHIPPED: &str = include_str!("../../../../extension/ids.json");

const DESCRIPTION: &str = "HeyHo Companion: keeps browsing records safe and delivers them";

/// Those shipped and those of the settings.
pub fn ids(extra: &Extensions) -> Extensions {
    #[derive(Deserialize, Default)]
    struct Ids {
        chromium: Vec<String>,
        firefox: Vec<String>,
    }
    let shipped: Ids = serde_json::from_str(SHIPPED).unwrap_or_default();
    let join = |mut list: Vec<String>, more: &[String]| {
        for id in more {
            if !list.contains(id) {
                list.push(id.clone());
            }
        }
        list
    };
    Extensions {
        chromium: join(shipped.chromium, &extra.chromium),
        firefox: join(shipped.firefox, &extra.firefox),
    }
}

pub fn contents(family: Family, program: &Path, ids: &Extensions) -> String {
    let mut manifest = json!({
        "name": HOST_NAME,
        "description": DESCRIPTION,
        "path": program,
        "type": "stdio",
    });
    let (key, list): (&str, Value) = match family {
        Family::Chromium => {
            ("allowed_origins", ids.chromium.iter().map(|id| format!("chrome-extension://{id}/")).collect())
        }
        Family::Firefox => ("allowed_extensions", ids.firefox.iter().cloned().collect()),
    };
    manifest[key] = list;
    if let Some(digest) = digest(&manifest) {
        manifest["description"] = format!("{DESCRIPTION} [{digest}]").into();
    }
    format!("{manifest:#}\n")
}

/// Written by us, whatever place or version it was written for, and changed by nobody since.
pub fn is_ours(found: &str) -> bool {
    let Ok(mut manifest) = serde_json::from_str::<Value>(found) else { return false };
    let said = manifest.get("description").and_then(Value::as_str).map(str::to_owned);
    let Some(said) = said.as_deref().and_then(|text| text.strip_prefix(DESCRIPTION)) else { return false };
    manifest["description"] = DESCRIPTION.into();
    digest(&manifest).is_some_and(|digest| said == format!(" [{digest}]"))
}

/// Whether a manifest of the system's does for this user what `wanted` would.
pub fn serves(found: &str, wanted: &str) -> bool {
    let (Ok(found), Ok(wanted)) =
        (serde_json::from_str::<Value>(found), serde_json::from_str::<Value>(wanted))
    else {
        return false;
    };
    let has_all = |key: &str| match (found[key].as_array(), wanted[key].as_array()) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(there), Some(asked)) => asked.iter().all(|id| there.contains(id)),
    };
    found["name"] == wanted["name"]
        && found["path"] == wanted["path"]
        && has_all("allowed_origins")
        && has_all("allowed_extensions")
}

/// Starts the host outside of a flatpak's sandbox.
pub fn outside(host: &Path) -> String {
    let quoted = host.display().to_string().replace('\'', r"'\''");
    format!("#!/bin/sh\n# Written by HeyHo Companion.\nexec flatpak-spawn --host '{quoted}' \"$@\"\n")
}

/// Written by [`outside`], for whichever place.
pub fn is_outside(found: &str) -> bool {
    let (before, after) =
        ("#!/bin/sh\n# Written by HeyHo Companion.\nexec flatpak-spawn --host '", "' \"$@\"\n");
    let host = found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    host.is_some_and(|host| !host.contains('\n'))
}

fn digest(manifest: &Value) -> Option<String> {
    let tree = Json::parse(&manifest.to_string()).ok()?;
    Some(heyho_records::record::digest(&tree).iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(family: Family) -> String {
        let extra = Extensions { chromium: vec!["mine".into()], firefox: vec!["companion@heyho.app".into()] };
        contents(family, Path::new("/opt/heyho/heyho-host"), &ids(&extra))
    }

    #[test]
    fn each_family_has_its_own_form() {
        let chromium: Value = serde_json::from_str(&made(Family::Chromium)).unwrap();
        assert_eq!(chromium["path"], "/opt/heyho/heyho-host");
        let origins = chromium["allowed_origins"].as_array().unwrap();
        assert!(origins.contains(&json!("chrome-extension://mine/")));
        assert!(origins.iter().all(|o| o.as_str().unwrap().ends_with('/')));
        let firefox: Value = serde_json::from_str(&made(Family::Firefox)).unwrap();
        assert_eq!(firefox["allowed_extensions"], json!(["companion@heyho.app", "heyho@bext.com"]));
        assert!(firefox.get("allowed_origins").is_none());
    }

    #[test]
    fn it_is_ours_until_somebody_changes_a_word() {
        let text = made(Family::Chromium);
        assert!(is_ours(&text));
        assert!(is_ours(&text.replace('\n', " ")), "spacing is no change");
        assert!(is_ours(&contents(
            Family::Chromium,
            Path::new("/old/place/heyho-host"),
            &Extensions::default()
        )));
        for (from, to) in [
            ("/opt/heyho/heyho-host", "/opt/heyho/my-heyho-host"),
            ("chrome-extension://mine/", "chrome-extension://yours/"),
            ("keeps", "kept"),
            ("\"type\"", "\"extra\": 1, \"type\""),
        ] {
            assert!(!is_ours(&text.replace(from, to)), "{to}");
        }
        assert!(!is_ours("{}") && !is_ours("no JSON") && !is_ours("[]"));
    }

    #[test]
    fn a_manifest_of_the_system_serves_when_it_points_to_the_same_program_for_all_extensions() {
        let ours = made(Family::Chromium);
        let fewer = contents(Family::Chromium, Path::new("/opt/heyho/heyho-host"), &Extensions::default());
        assert!(serves(&ours, &fewer));
        assert!(!serves(&fewer, &ours));
        assert!(!serves(&ours.replace("/opt/heyho/", "/usr/bin/"), &ours));
    }

    #[test]
    fn a_place_with_a_quote_in_its_name_is_one_word_for_the_shell() {
        let wrapper = outside(Path::new("/it's/heyho-host"));
        assert!(wrapper.contains(r"--host '/it'\''s/heyho-host'"));
        assert!(is_outside(&wrapper));
        assert!(
            !is_outside(&wrapper.replace("exec", "date\nexec")) && !is_outside(&format!("{wrapper}date\n"))
        );
    }
}
