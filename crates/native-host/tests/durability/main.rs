//! Nothing that was acknowledged is lost, whatever dies, fails or is cut off. Real hosts (and a process that
//! takes out of the buffer as the agent does) work on one buffer; the oracle is a ledger outside of them.
//!
//! - [`kill`]: processes killed at random moments;
//! - [`frames`]: a host killed at every byte of a frame; slow, split and glued frames;
//! - [`migration`]: the same while a file of an older schema is brought up to date;
//! - [`command_line`]: `heyho` beside hosts;
//! - [`power`]: the power cut: what was not synced is dropped or torn;
//! - [`recovery`]: killed, and the power cut, at every step of a salvage;
//! - [`erasing`]: the same of an erasure;
//! - [`writes`]: the n-th operation on the disk fails;
//!
//! with [`world`], [`host`], [`profile`], [`agent`] and [`ledger`] between them, and [`disk`], which with
//! `shim.c` is the disk whose power can be cut.
//!
//! `HEYHO_SEED` repeats a run, but for the machine's own timing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by failing")]
#![expect(clippy::print_stdout, reason = "the figures of a run")]

mod agent;
mod command_line;
mod disk;
mod erasing;
mod frames;
mod host;
mod kill;
mod ledger;
mod migration;
mod power;
mod profile;
mod recovery;
mod world;
mod writes;
