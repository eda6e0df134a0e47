//! Taking in records: `data/sync` and S1's two routes of one kind each.

pub mod columns;
pub mod describe;
pub mod request;
pub mod routes;
pub mod strict;
