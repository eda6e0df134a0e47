//! Results on stdout, as text or as JSON; questions on a terminal.

use crate::printable::printable;
use heyho_local::vocabulary::{Fault, FaultCode};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Whatever is deleted for good would still be in copies of the whole store (docs/buffer.md): they go too.
const COPIES: &str = "Old copies of the whole store that lie beside it will be deleted too.";

#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// One result: the value as JSON, or what `text` makes of it.
    pub fn say<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Fault> {
        let shown = if self.json { json(value)? } else { text(value) };
        self.line(shown.trim_end())
    }

    pub fn line(self, text: &str) -> Result<(), Fault> {
        let shown = if self.json { text.to_owned() } else { printable(text) };
        writeln!(std::io::stdout(), "{shown}").map_err(unwritable)
    }

    /// A list that may be long: written as it is read, never held whole.
    pub fn list(self) -> List {
        List { json: self.json, count: 0 }
    }

    /// Asks before something is deleted for good. Without a terminal there is nobody to ask, and a script has
    /// said what it means.
    pub fn sure(self, yes: bool, lost: &str) -> Result<(), Fault> {
        if yes || !std::io::stdin().is_terminal() {
            return Ok(());
        }
        eprint!("{}\n{COPIES} This cannot be undone. Go on? [y/N] ", printable(lost));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        match (read, answer.trim().to_lowercase().as_str()) {
            (Ok(_), "y" | "yes") => Ok(()),
            _ => Err(Fault::new(FaultCode::Failed, "Nothing was deleted.")),
        }
    }
}

#[derive(Debug)]
pub struct List {
    json: bool,
    count: u64,
}

impl List {
    pub fn item<T: Serialize>(&mut self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Fault> {
        let before = match (self.json, self.count) {
            (false, _) => "",
            (true, 0) => "[",
            (true, _) => ",\n",
        };
        self.count += 1;
        let mut out = std::io::stdout().lock();
        if self.json {
            write!(out, "{before}{}", json(value)?)
        } else {
            writeln!(out, "{}", printable(&text(value)))
        }
        .map_err(unwritable)
    }

    /// What to say where there was nothing.
    pub fn end(self, nothing: &str) -> Result<(), Fault> {
        match (self.json, self.count) {
            (true, 0) => writeln!(std::io::stdout(), "[]"),
            (true, _) => writeln!(std::io::stdout(), "]"),
            (false, 0) => writeln!(std::io::stdout(), "{nothing}"),
            (false, _) => Ok(()),
        }
        .map_err(unwritable)
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|e| Fault::new(FaultCode::Failed, e.to_string()))
}

/// Whoever stopped reading (`heyho waiting list | head`) needs no message about it: an empty text is not said.
pub fn unwritable(error: std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Fault::new(FaultCode::Failed, ""),
        _ => Fault::new(FaultCode::Failed, format!("the result cannot be written: {error}")),
    }
}
