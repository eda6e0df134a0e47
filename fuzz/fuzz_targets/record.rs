#![no_main]

#[path = "../../crates/records/tests/fuzz/targets.rs"]
#[expect(dead_code, reason = "one of several targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::record(data));
