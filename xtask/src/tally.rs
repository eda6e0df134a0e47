//! Passed, failed and skipped, added up from the runners' own closing lines:
//!
//! ```text
//! test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s
//!       Tests  1 failed | 12 passed | 2 skipped (15)
//! ```

use std::fmt;
use std::ops::AddAssign;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Tally {
    /// Adds what a line says, if it is a closing line of cargo's or vitest's runner.
    pub fn read(&mut self, line: &str) {
        let line = line.trim_start();
        let counts = match line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) {
            Some((_, counts)) => counts,
            None => match line.strip_prefix("Tests  ") {
                Some(counts) => counts,
                None => return,
            },
        };
        for part in counts.split([';', '|', '(']) {
            let mut words = part.split_whitespace();
            let Some(n) = words.next().and_then(|n| n.parse::<u64>().ok()) else { continue };
            match words.next() {
                Some("passed") => self.passed += n,
                Some("failed") => self.failed += n,
                Some("ignored" | "skipped" | "todo") => self.skipped += n,
                _ => {}
            }
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The closing line of `cargo xtask test`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            n => write!(f, ", {n} skipped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn closing_lines_of_both_runners_are_added() {
        let tally = read(&[
            "test sync::plan ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.02s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.0s",
            " Test Files  1 failed | 4 passed (5)",
            "      Tests  1 failed | 10 passed | 2 skipped (13)",
        ]);
        assert_eq!(tally, Tally { passed: 25, failed: 3, skipped: 3 });
        assert_eq!(tally.to_string(), "25 passed, 3 failed, 3 skipped");
    }

    #[test]
    fn nothing_skipped_is_not_said() {
        assert_eq!(read(&["      Tests  4 passed (4)"]).to_string(), "4 passed, 0 failed");
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(read(&["5 passed, 1 failed", "Tests: 3 failed"]), Tally::default());
    }
}
