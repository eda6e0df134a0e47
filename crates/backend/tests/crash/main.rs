//! The program itself, killed, starved of disk, and fed too much. Each test is a sentence.

#![cfg_attr(test, expect(clippy::print_stdout, reason = "the figures of a run"))]

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod document;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod large;
#[cfg(test)]
mod links;
#[cfg(test)]
mod operator;
#[cfg(test)]
#[path = "../support/postgres.rs"]
mod postgres;
#[cfg(test)]
mod program;
#[cfg(test)]
mod reset;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod settings;
#[cfg(test)]
#[path = "../support/smtp.rs"]
mod smtp;
#[cfg(test)]
mod upgrade;
