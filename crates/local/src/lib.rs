//! What every HeyHo program on this machine shares with the others, and with nobody else:
//!
//! - [`browsers`]: making the host known to browsers;
//! - [`clock`]: the one provider of time and chance;
//! - [`paths`]: where the files lie, and with which permissions;
//! - [`config`]: `config.toml`, read and checked;
//! - [`lock`]: who is the agent;
//! - [`presence`]: which hosts are running;
//! - [`vocabulary`]: what is asked of the agent, and what it answers;
//! - [`socket`]: that vocabulary over the local socket.
//!
//! Kept apart from the agent so that the host stays small: no HTTP, no keyring, no database here.

pub mod browsers;
pub mod clock;
pub mod config;
pub mod lock;
pub mod paths;
pub mod presence;
pub mod socket;
pub mod vocabulary;
