//! `cargo xtask bench`: what the companion costs, each figure beside its limit on the same machine in the same run.
//!
//! - [`figures`]: what is measured, a module an area;
//! - [`figure`]: rounds, and what they are judged by; [`lab`]: sizes, places, processes;
//! - [`pipe`], [`null_backend`], [`postgres`], [`desktop`]: what stands around the programs that are measured;
//! - [`records`], [`fill`]: what is stored and sent;
//! - [`report`], [`plot`], [`machine`]: what is said afterwards.
//!
//! The programs are those beside this one, as they are shipped, driven as browsers and people drive them. Figures
//! are taken one after the other and nothing is judged in a run with `--quick`, which only shows that all of it works.

#![expect(clippy::print_stdout, reason = "the table is the output")]

mod desktop;
mod figure;
mod figures;
mod fill;
mod lab;
mod machine;
mod null_backend;
mod pipe;
mod plot;
mod postgres;
mod records;
mod report;

use anyhow::{Context, Result, bail};
use lab::Lab;
use std::path::PathBuf;
use std::process::ExitCode;

struct Asked {
    quick: bool,
    names: Vec<String>,
    /// Where the table, the JSON and the plots go; without it they are only printed.
    out: Option<PathBuf>,
    /// The commit the programs were built of.
    commit: String,
}

fn asked() -> Result<Asked> {
    let mut asked = Asked { quick: false, names: Vec::new(), out: None, commit: "unknown".to_owned() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} wants a value"));
        match word.as_str() {
            "--quick" => asked.quick = true,
            "--out" => asked.out = Some(PathBuf::from(value()?)),
            "--commit" => asked.commit = value()?,
            name if figures::ALL.iter().any(|figure| figure.name == name) => asked.names.push(word),
            other => {
                let names: Vec<&str> = figures::ALL.iter().map(|figure| figure.name).collect();
                bail!("{other:?} is no figure; figures are {}", names.join(", "));
            }
        }
    }
    Ok(asked)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("heyho-bench: {error:#}");
            ExitCode::from(64)
        }
    }
}

/// True when every figure could be taken. Whether goals are met is for readers to judge.
async fn run() -> Result<bool> {
    let asked = asked()?;
    // An error would mean that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let lab = Lab { quick: asked.quick };
    let machine = machine::Machine::look(&std::env::temp_dir()).await?;
    let (mut rows, mut plots, mut failed) = (Vec::new(), Vec::new(), 0);
    let wanted =
        figures::ALL.iter().filter(|f| asked.names.is_empty() || asked.names.iter().any(|n| n == f.name));
    let mut taken = 0;
    for figure in wanted {
        eprintln!("{}", figure.name);
        match (figure.take)(lab).await {
            Ok(one) => {
                taken += 1;
                plots.extend(one.plots);
                let mut named = one.rows;
                for row in &mut named {
                    row.figure = figure.name.to_owned();
                    if asked.quick {
                        row.goal = figure::Goal::None;
                    }
                }
                println!("{}", report::terminal(&named));
                rows.extend(named);
                // Each figure as it is there: a run that is ended early keeps what it has.
                if let Some(folder) = &asked.out {
                    let order: Vec<&str> = figures::ALL.iter().map(|figure| figure.name).collect();
                    report::write(folder, &machine, &asked.commit, &order, &rows, &plots)?;
                }
            }
            Err(error) => {
                failed += 1;
                eprintln!("{} could not be taken: {error:#}", figure.name);
            }
        }
    }
    let missed: Vec<&str> = rows.iter().filter(|r| r.met() == Some(false)).map(|r| r.what.as_str()).collect();
    if !asked.quick && !missed.is_empty() {
        println!("missed:\n  {}", missed.join("\n  "));
    }
    // As a test runner closes, so that the checks of the repository count it.
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {taken} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    Ok(failed == 0)
}
