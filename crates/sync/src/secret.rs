//! A token or a password. It is shown nowhere: no `Display`, and `Debug` says only that it is one.

use serde::{Deserialize, Serialize};

/// A text that must not reach a log, an error or a screen.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends or stores it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let shown = format!("{:?} {:#?}", Secret::new("abc"), Some(Secret::new("abc")));
        assert!(!shown.contains("abc"), "{shown}");
    }
}
