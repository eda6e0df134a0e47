//! One line of the table: ours, the limit it stands beside, and what the two come to.
//!
//! Every figure is a list of rounds; in each the two sides are measured one right after the other, so that what
//! the machine does meanwhile meets both. What is judged is the median over the rounds of what a round came to,
//! not a quotient of medians.

use serde::Serialize;

/// A list of rounds in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// The median, and the quarters around it. Nothing was measured: not a number.
    pub fn of(values: &[f64]) -> Spread {
        Spread { median: quantile(values, 0.5), low: quantile(values, 0.25), high: quantile(values, 0.75) }
    }
}

/// By the nearest rank between neighbours.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(a), Some(b)) => a + (b - a) * part,
        (Some(a), None) => *a,
        _ => f64::NAN,
    }
}

/// What a round is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Ours over the other's.
    Ratio,
    /// Ours less the other's, in the row's unit.
    Difference,
    /// Ours alone.
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Shown, not judged.
    None,
}

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub figure: String,
    pub what: String,
    pub beside: String,
    pub unit: &'static str,
    pub by: By,
    pub goal: Goal,
    pub ours: Vec<f64>,
    pub others: Vec<f64>,
    /// Why there is nothing, or what has to be known beside the number.
    pub note: String,
}

impl Row {
    pub fn new(what: &str, unit: &'static str) -> Row {
        Row {
            figure: String::new(),
            what: what.to_owned(),
            beside: String::new(),
            unit,
            by: By::Value,
            goal: Goal::None,
            ours: Vec::new(),
            others: Vec::new(),
            note: String::new(),
        }
    }

    pub fn beside(mut self, what: &str, by: By) -> Row {
        self.beside = what.to_owned();
        self.by = by;
        self
    }

    pub fn at_least(mut self, limit: f64) -> Row {
        self.goal = Goal::AtLeast(limit);
        self
    }

    pub fn at_most(mut self, limit: f64) -> Row {
        self.goal = Goal::AtMost(limit);
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Row {
        self.note = note.into();
        self
    }

    pub fn round(&mut self, ours: f64, other: f64) {
        self.ours.push(ours);
        self.others.push(other);
    }

    /// For a figure that stands alone.
    pub fn value(&mut self, ours: f64) {
        self.ours.push(ours);
    }

    /// What the rounds came to.
    pub fn judged(&self) -> Spread {
        let rounds = self.ours.iter().zip(&self.others);
        match self.by {
            By::Value => Spread::of(&self.ours),
            By::Ratio => Spread::of(&rounds.map(|(a, b)| a / b).collect::<Vec<_>>()),
            By::Difference => Spread::of(&rounds.map(|(a, b)| a - b).collect::<Vec<_>>()),
        }
    }

    /// None: nothing to judge.
    pub fn met(&self) -> Option<bool> {
        let is = self.judged().median;
        match self.goal {
            Goal::None => None,
            Goal::AtLeast(limit) => (!is.is_nan()).then_some(is >= limit),
            Goal::AtMost(limit) => (!is.is_nan()).then_some(is <= limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_and_the_quarters() {
        assert_eq!(Spread::of(&[5.0, 1.0, 3.0, 2.0, 4.0]), Spread { median: 3.0, low: 2.0, high: 4.0 });
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn each_round_is_judged_by_itself() {
        let mut row = Row::new("x", "ms").beside("y", By::Ratio).at_most(2.0);
        // A machine that was ten times slower in one round was so for both sides.
        for (ours, other) in [(1.0, 1.0), (30.0, 10.0), (2.0, 1.0)] {
            row.round(ours, other);
        }
        assert_eq!(row.judged().median, 2.0);
        assert_eq!(row.met(), Some(true));
    }

    #[test]
    fn nothing_measured_is_neither_met_nor_missed() {
        assert_eq!(Row::new("x", "ms").at_most(1.0).met(), None);
    }
}
