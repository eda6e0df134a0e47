//! Results on stdout, as text or as JSON.

use heyho_local::vocabulary::{Fault, FaultCode};
use serde::Serialize;
use std::io::Write;

#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// One result: the value as JSON, or what `text` makes of it.
    pub fn say<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Fault> {
        let shown = if self.json {
            serde_json::to_string(value).map_err(|e| Fault::new(FaultCode::Failed, e.to_string()))?
        } else {
            text(value)
        };
        self.line(shown.trim_end())
    }

    pub fn line(self, text: &str) -> Result<(), Fault> {
        let written = writeln!(std::io::stdout(), "{text}");
        written.map_err(|e| Fault::new(FaultCode::Failed, format!("the result cannot be written: {e}")))
    }
}
