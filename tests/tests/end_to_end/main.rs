//! The end-to-end tests, on real parts: our own programs as they are built, real browsers, a real web view, a
//! real Secret Service. One program, so that it is linked once; a module for each part of the main job.
//!
//! They start programs of other crates, which must be built, and a browser, which must be there: `cargo xtask
//! test end-to-end` sees to both.

mod away;
mod bad_input;
mod browser;
mod browsing;
mod coming_back;
mod delivery;
mod draining;
mod first_run;
mod forgetting;
mod losing;
mod outage;
mod parts;
mod pausing;
mod popup;
mod privacy;
mod registering;
mod settings;
mod sharing;
mod surfing;
mod tokens;
mod tray;
mod window;
mod window_failed;
mod window_keyboard;
mod window_states;
mod window_trouble;
