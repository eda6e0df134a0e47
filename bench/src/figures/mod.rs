//! Every figure, by its name: what `cargo xtask bench NAME` takes.

mod app;
mod backend;
mod bar;
mod crawl;
mod damage;
mod drain;
mod ingest;
mod scale;
mod sizes;

use crate::figure::Row;
use crate::lab::Lab;
use crate::plot::Plot;
use anyhow::Result;
use futures_util::future::LocalBoxFuture;

/// What a figure came to.
#[derive(Debug, Default)]
pub struct Taken {
    pub rows: Vec<Row>,
    pub plots: Vec<Plot>,
}

pub struct Figure {
    pub name: &'static str,
    pub take: fn(Lab) -> LocalBoxFuture<'static, Result<Taken>>,
}

macro_rules! figures {
    ($($name:literal => $take:path),* $(,)?) => {
        pub const ALL: &[Figure] = &[$(Figure { name: $name, take: |lab| Box::pin($take(lab)) }),*];
    };
}

figures! {
    "ingest" => ingest::one,
    "hosts" => ingest::several,
    "latency" => ingest::latency,
    "host" => ingest::start,
    "scale" => scale::take,
    "drain" => drain::take,
    "memory" => drain::memory,
    "bar" => bar::take,
    "crawl" => crawl::take,
    "damage" => damage::take,
    "backend" => backend::take,
    "app" => app::memory,
    "idle" => app::idle,
    "start" => app::start,
    "sizes" => sizes::take,
}
