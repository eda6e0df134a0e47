//! libFuzzer with AddressSanitizer on the stable compiler: `RUSTC_BOOTSTRAP` lets it take the flags.

use std::path::Path;
use std::process::Command;

/// More than any frame needs, and far less than a leak would take in half an hour.
const MEMORY_MB: u32 = 1_024;
const FLAGS: &str = "-Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// Runs one target for so long; what it says at its end. What it finds stays in `fuzz/artifacts`.
pub fn run(name: &str, seconds: u64, folder: &Path) -> String {
    let target = folder.join("target");
    let system = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
    let system = format!("{system}-unknown-linux-gnu");
    let built = Command::new("cargo")
        .args(["build", "--release", "--bin", name, "--target", &system, "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .status()
        .unwrap();
    assert!(built.success(), "{name} could not be built");
    // What it adds stays out of the corpus that is kept.
    let found = target.join("found").join(name);
    let artifacts = folder.join("artifacts").join(name);
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let output = Command::new(target.join(system).join("release").join(name))
        .arg(&found)
        .arg(folder.join("corpus").join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg("-max_len=65536")
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name}: {}",
        text.lines().rev().take(60).collect::<Vec<_>>().join("\n")
    );
    let figures = ["stat::number_of_executed_units", "stat::peak_rss_mb", "stat::new_units_added"];
    let figures = text.lines().filter(|line| figures.iter().any(|figure| line.starts_with(figure)));
    let figures = figures
        .map(|line| line.trim_start_matches("stat::").split_whitespace().collect::<Vec<_>>().join(" "));
    format!("{seconds} s, {}, no crash", figures.collect::<Vec<_>>().join(", "))
}
