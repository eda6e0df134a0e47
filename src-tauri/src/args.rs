//! The command line, and the one environment variable that is refused.

use clap::Parser;
use std::ffi::OsStr;
use std::process::ExitCode;

/// Makes the web view take orders from a WebDriver.
pub const AUTOMATION: &str = "TAURI_WEBVIEW_AUTOMATION";

/// HeyHo Companion keeps what the browser extension records safe on this computer and delivers it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Parser)]
#[command(name = "heyho-companion", version)]
pub struct Args {
    /// Start in the tray, without opening the window
    #[arg(long)]
    pub hidden: bool,
    /// Ask the companion that is running to quit
    #[arg(long, conflicts_with = "hidden")]
    pub quit: bool,
}

/// Help and version end with 0, anything that is not understood with 64.
pub fn read() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|answer| {
        let _ = answer.print();
        if answer.use_stderr() { ExitCode::from(crate::USAGE) } else { ExitCode::SUCCESS }
    })
}

/// What a second start says to the first; what it does not understand means "show yourself".
pub fn of_second_start(argv: &[String]) -> Args {
    Args::try_parse_from(argv).unwrap_or_default()
}

pub fn automation(value: Option<&OsStr>) -> Result<(), String> {
    if value.is_none() || cfg!(feature = "automation") {
        return Ok(());
    }
    Err(format!(
        "{AUTOMATION} is set, and this build does not let other programs drive its window; \
         unset it, or build with `--features automation` for tests"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(args: &[&str]) -> Args {
        let argv: Vec<String> =
            std::iter::once("heyho-companion").chain(args.iter().copied()).map(Into::into).collect();
        of_second_start(&argv)
    }

    #[test]
    fn a_second_start_shows_hides_or_quits() {
        assert_eq!(second(&[]), Args::default());
        assert!(second(&["--hidden"]).hidden);
        assert!(second(&["--quit"]).quit);
        assert_eq!(second(&["--of-a-later-version"]), Args::default());
    }

    #[test]
    fn hidden_and_quit_exclude_each_other() {
        assert!(Args::try_parse_from(["heyho-companion", "--hidden", "--quit"]).is_err());
    }

    #[test]
    fn automation_is_for_test_builds() {
        assert!(automation(None).is_ok());
        assert_eq!(automation(Some(OsStr::new("true"))).is_ok(), cfg!(feature = "automation"));
        assert_eq!(automation(Some(OsStr::new(""))).is_ok(), cfg!(feature = "automation"));
    }
}
