//! What of the settings the shell itself goes by: language, light or dark, and whether to notify.

use crate::words::Lang;
use heyho_local::config::{Appearance, Config, Language};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// None: the system's.
    pub lang: Option<Lang>,
    pub appearance: Appearance,
    pub notifications: bool,
}

impl Look {
    pub fn of(config: &Config) -> Look {
        let window = config.window;
        let lang = match window.language {
            Language::System => None,
            Language::En => Some(Lang::En),
            Language::De => Some(Lang::De),
        };
        Look { lang, appearance: window.appearance, notifications: window.notifications }
    }

    pub fn lang(&self) -> Lang {
        self.lang.unwrap_or_else(Lang::of_user)
    }
}
