//! Any bytes: frames, records, privacy rules, the pipe. Every file of `fuzz/corpus`, and so many mutations of them
//! a target (`HEYHO_FUZZ_CASES`, repeatable by `HEYHO_SEED`). With `HEYHO_FUZZ_SECONDS` libFuzzer looks for that
//! long instead, guided by coverage, in bounded memory (`cargo xtask torture fuzz`). Control: `nul-kept`.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod guided;
mod targets;

use std::path::{Path, PathBuf};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

/// What is likely to matter where it is put.
const WORDS: [&str; 24] = [
    "\\ud83d",
    "\\u0000",
    "\\ude00",
    "\\",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "-1",
    "2.4e21",
    "1e999",
    "\"id\":",
    "\"url\":\"https://bank.example/\"",
    "\"startedAt\":",
    "\"synced\":1,",
    "\"tabId\":7",
    "\n",
    "\u{0}",
    "\u{fffd}",
    "é",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder().join("corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = corpus[dice.roll(corpus.len())].clone();
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(bytes.len() + 1);
        match dice.roll(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + dice.roll(16)).min(bytes.len()))),
            3 => {
                let other = &corpus[dice.roll(corpus.len())];
                let from = dice.roll(other.len() + 1);
                let part = other[from..(from + dice.roll(64)).min(other.len())].to_vec();
                bytes.splice(at..at, part);
            }
            4 => drop(bytes.splice(at..at, WORDS[dice.roll(WORDS.len())].bytes())),
            _ => {
                let part = bytes[at..(at + dice.roll(32)).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

#[expect(clippy::print_stdout, reason = "the figures of a run")]
fn run(name: &str, target: fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    if let Some(seconds) = number("HEYHO_FUZZ_SECONDS") {
        return println!("figures: {name}: {}", guided::run(name, seconds, &folder()));
    }
    let cases = number("HEYHO_FUZZ_CASES").unwrap_or(50_000);
    let seed = number("HEYHO_SEED").unwrap_or(20_261_121);
    let corpus = corpus(name);
    corpus.iter().for_each(|bytes| target(bytes));
    let mut dice = Dice(seed | 1);
    for case in 0..cases {
        let bytes = mutated(&corpus, &mut dice);
        if std::panic::catch_unwind(|| target(&bytes)).is_err() {
            unreachable!("{name}, seed {seed}, case {case}: {}", bytes.escape_ascii());
        }
    }
    println!("figures: {name}: {} of the corpus, {cases} mutations, seed {seed}", corpus.len());
}

#[test]
fn any_frame_is_understood_or_refused() {
    run("frame", targets::frame);
}

#[test]
fn any_record_is_rejected_or_stays_what_it_is() {
    run("record", targets::record);
}

#[test]
fn rules_leave_the_same_a_second_time() {
    run("rules", targets::rules);
}

#[test]
fn any_bytes_in_the_pipe_are_frames_an_end_or_too_large() {
    run("pipe", targets::pipe);
}
