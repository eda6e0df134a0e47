//! What was counted when somebody was shown how many records failed: a question about all of them reaches these and no
//! other, however long it stands and whatever the clock does meanwhile.
//!
//! Times alone do not tell: a record is marked with the time at which its failing began to be written, and that may wait
//! for another program.

use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;

/// A failed record as it was counted: its number, and when it failed last.
pub type Mark = (i64, i64);

/// A list on show is read anew whenever something changes.
const QUESTIONS: usize = 64;
const MARKS: usize = 200_000;

#[derive(Debug, Default)]
pub struct Counted(VecDeque<Question>);

#[derive(Debug)]
struct Question {
    as_of: Timestamp,
    reason: Option<String>,
    /// In the order of the numbers.
    marks: Vec<Mark>,
}

impl Counted {
    /// The moment by which these are known from now on.
    pub fn note(&mut self, reason: Option<&str>, marks: Vec<Mark>, now: Timestamp) -> Timestamp {
        let same = |known: &&Question| known.reason.as_deref() == reason && known.marks == marks;
        if let Some(known) = self.0.iter().find(same) {
            return known.as_of;
        }
        // Each has its own, also where a clock was set back.
        let after = self.0.back().and_then(|last| last.as_of.checked_add(SignedDuration::from_nanos(1)).ok());
        let as_of = after.map_or(now, |after| after.max(now));
        self.0.push_back(Question { as_of, reason: reason.map(str::to_owned), marks });
        while self.0.len() > QUESTIONS
            || self.0.len() > 1 && self.0.iter().map(|one| one.marks.len()).sum::<usize>() > MARKS
        {
            self.0.pop_front();
        }
        as_of
    }

    /// Whether this is one of them. Of a question that is not known any more, of before the agent's start for instance,
    /// the times decide.
    pub fn has(&self, as_of: Timestamp, mark: Mark) -> bool {
        match self.0.iter().find(|known| known.as_of == as_of) {
            Some(known) => known.marks.binary_search(&mark).is_ok(),
            None => mark.1 <= as_of.as_millisecond(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn what_was_not_counted_is_not_reached_whatever_time_it_bears() {
        let mut counted = Counted::default();
        let first = counted.note(None, vec![(1, 10), (4, 50)], at(40));
        // Begun before it was counted, and written after; and failed once more.
        assert!(!counted.has(first, (2, 30)) && !counted.has(first, (1, 60)));
        // By a clock that was set back since.
        assert!(counted.has(first, (4, 50)));
        let second = counted.note(None, vec![(1, 10), (2, 30), (4, 50)], at(20));
        assert!(second > first && counted.has(second, (2, 30)) && !counted.has(first, (2, 30)));
        // The same again is the same question; of one reason it is another.
        assert_eq!(counted.note(None, vec![(1, 10), (4, 50)], at(90)), first);
        assert_ne!(counted.note(Some("x"), vec![(1, 10), (4, 50)], at(90)), first);
    }

    #[test]
    fn of_a_question_that_is_not_known_the_times_decide_and_memory_has_its_bound() {
        let mut counted = Counted::default();
        assert!(counted.has(at(40), (1, 40)) && !counted.has(at(40), (1, 41)));
        for n in 0..200 {
            counted.note(None, vec![(n, n)], at(n));
        }
        assert_eq!(counted.0.len(), QUESTIONS);
        counted.note(None, (0..MARKS as i64).map(|n| (n, n)).collect(), at(999));
        assert_eq!(counted.0.len(), 1);
    }
}
