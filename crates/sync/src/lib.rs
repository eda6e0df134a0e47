//! Delivering waiting records to the backend: what to send, what an answer means, when to try again.
//!
//! Two halves. The core is pure: no socket, no clock, no randomness; time and jitter are given in.
//!
//! - [`policy`]: every limit and interval, each with its reason;
//! - [`plan`]: the oldest records, as the bytes of one request;
//! - [`classify`]: an answer, as a verdict;
//! - [`hunt`]: finding the record a backend refuses without naming it;
//! - [`known_good`]: what the backend took before, to learn whether it still does;
//! - [`core`]: the run: asks for a task and is told the outcome;
//! - [`alerts`]: figures of the last day, and what somebody should be told;
//! - [`pace`]: how long a run still takes;
//! - [`surroundings`]: the network, its price and the power, as far as they hold a run back;
//! - [`why`]: every reason a run ends, as a word, a state and a sentence.
//!
//! The driver does what the core asks:
//!
//! - [`driver`]: the HTTP requests of the loop;
//! - [`auth_http`]: sign-in, in the shapes of the reference backend and of HeyHo's service; `verify_http`:
//!   confirming an address, and a forgotten password;
//! - [`erase`]: whether an address is a backend, and having it delete a site.

pub mod alerts;
pub use heyho_records::base_url;

pub mod answer;
pub mod auth_http;
pub mod body;
pub mod capabilities;
pub mod classify;
pub mod core;
pub mod driver;
pub mod erase;
pub mod hunt;
pub mod known_good;
pub mod names;
pub mod pace;
pub mod plan;
pub mod policy;
pub mod secret;
pub mod surroundings;
pub mod task;
mod transport;
mod verify_http;
pub mod why;
pub mod wire;
