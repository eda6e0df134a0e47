//! Faults planted on purpose, one line each where the fault would be made: the suite that guards against one
//! must turn red with it (`cargo xtask test controls`; the table is `xtask/src/controls.rs`).
//!
//! They exist only with the feature `broken-control` of this crate, which is the only one of its kind, and
//! which no release build accepts. `HEYHO_FAULT` chooses one by its name; without it there is none.

#[cfg(all(feature = "broken-control", not(debug_assertions)))]
compile_error!("`broken-control` plants faults for tests of tests; it is never part of a release");

/// Whether this fault is planted. A constant false without the feature.
#[cfg(not(feature = "broken-control"))]
#[inline(always)]
pub const fn planted(_name: &str) -> bool {
    false
}

#[cfg(feature = "broken-control")]
pub fn planted(name: &str) -> bool {
    std::env::var_os("HEYHO_FAULT").is_some_and(|chosen| chosen == name)
}
