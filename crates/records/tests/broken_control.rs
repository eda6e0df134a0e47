//! The feature `broken-control` plants faults that the suites must notice. A release build refuses it.

use std::process::Command;

#[test]
fn a_release_build_with_planted_faults_is_refused() {
    // The compiler's words about this file alone. Never to /dev/null: root would replace that.
    let folder = tempfile::tempdir().expect("a folder");
    let compile = |debug_assertions: &str| {
        let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
            .args([
                "--crate-type=lib",
                "--edition=2024",
                "--emit=metadata",
                "--cfg=feature=\"broken-control\"",
            ])
            .args(["-C", debug_assertions, "-o"])
            .arg(folder.path().join("fault.rmeta"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/fault.rs"))
            .output()
            .expect("the compiler runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (built, words) = compile("debug-assertions=off");
    assert!(!built && words.contains("it is never part of a release"), "{words}");
    let (built, words) = compile("debug-assertions=on");
    assert!(built, "{words}");
}

#[test]
#[cfg(not(feature = "broken-control"))]
fn without_the_feature_no_name_plants_anything() {
    const { assert!(!heyho_records::fault::planted("early-ack")) };
}
