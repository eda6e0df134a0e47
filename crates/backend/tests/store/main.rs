//! The conformance suite of `Store`: what any store must do, asked of the trait itself, of both.
//!
//! Each test takes an open store: see `support::on_each_store`. Few know a table: where what matters is shown by none of
//! the trait's parts.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod links;
#[cfg(test)]
mod long;
#[cfg(test)]
mod migration;
#[cfg(test)]
mod order;
#[cfg(test)]
mod page;
#[cfg(test)]
mod plans;
#[cfg(test)]
#[path = "../support/postgres.rs"]
mod postgres;
#[cfg(test)]
mod support;
#[cfg(test)]
mod versions;
