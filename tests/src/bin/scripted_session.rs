//! The whole job once, with its summary: what `cargo xtask run` starts where there is no display.
fn main() {}
