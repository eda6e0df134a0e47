//! `browsers`: which browsers know the host.

use crate::Context;
use crate::args::Browsers;
use heyho_local::browsers::{Manifest, Row, Standing, System, list, manifests, register, unregister};
use heyho_local::vocabulary::{Fault, FaultCode};
use std::path::PathBuf;
use std::process::ExitCode;

pub fn browsers(context: &Context, command: &Browsers) -> Result<ExitCode, Fault> {
    let manifests = all(context)?;
    let failed =
        |e: std::io::Error| Fault::new(FaultCode::Failed, format!("a manifest cannot be written: {e}"));
    let rows = match command {
        Browsers::List => list(&manifests),
        Browsers::Register => register(&manifests).map_err(failed)?,
        Browsers::Unregister => unregister(&manifests).map_err(failed)?,
    };
    context.out.say(&rows, |rows| table(rows))?;
    Ok(ExitCode::SUCCESS)
}

pub fn all(context: &Context) -> Result<Vec<Manifest>, Fault> {
    let home = directories::BaseDirs::new()
        .map(|dirs| dirs.home_dir().to_owned())
        .ok_or_else(|| Fault::new(FaultCode::Configuration, "no home directory was found"))?;
    Ok(manifests(System::here(), &home, &host()?, &context.config.extensions))
}

/// The host lies beside this program, and its path is written down as an absolute one.
fn host() -> Result<PathBuf, Fault> {
    let here = std::env::current_exe().and_then(|path| path.canonicalize());
    let here =
        here.map_err(|e| Fault::new(FaultCode::Failed, format!("this program cannot find itself: {e}")))?;
    let host = here.with_file_name(format!("heyho-host{}", std::env::consts::EXE_SUFFIX));
    if !host.exists() {
        let text = format!("heyho-host is not beside this program ({})", host.display());
        return Err(Fault::new(FaultCode::Failed, text));
    }
    Ok(host)
}

fn table(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| format!("{:<16} {}", row.browser, words(row.standing)));
    lines.collect::<Vec<_>>().join("\n")
}

pub fn words(standing: Standing) -> &'static str {
    match standing {
        Standing::NotInstalled => "not installed",
        Standing::NotRegistered => "not registered: heyho browsers register",
        Standing::Registered => "registered",
        Standing::Outdated => "registered for another place: heyho browsers register",
        Standing::Changed => "its manifest was changed by somebody else and is left alone",
    }
}
