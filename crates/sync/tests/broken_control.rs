//! The feature `broken-control` plants a fault that this crate's tests must notice (`cargo test -p heyho-sync
//! --features broken-control` is red). A release build refuses it.

use std::process::Command;

#[test]
fn a_release_build_with_the_planted_fault_is_refused() {
    // The compiler's words about this crate alone. Its dependencies are missing, so it fails either way.
    let compile = |debug_assertions: &str| {
        let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
            .args([
                "--crate-type=lib",
                "--edition=2024",
                "--emit=metadata",
                "--cfg=feature=\"broken-control\"",
            ])
            .args(["-C", debug_assertions, "-o", if cfg!(windows) { "NUL" } else { "/dev/null" }])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs"))
            .output()
            .expect("the compiler runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refusal = "it is never part of a release build";
    assert!(compile("debug-assertions=off").contains(refusal));
    assert!(!compile("debug-assertions=on").contains(refusal));
}
