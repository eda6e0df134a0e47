//! The broken controls: a one-line fault, in the same harness with the same seeds. A suite that stays green
//! with its fault in place proves nothing, so here red is what passes.
//!
//! A fault is `heyho_records::fault::planted("name")` in the line that would be wrong; the feature
//! `heyho-records/broken-control` compiles them all in, and `HEYHO_FAULT` chooses one. They are built in a
//! target directory of their own: a program with a fault must never lie where the end-to-end tests, or a
//! person, would start it.

use crate::shell::{command, say, target};
use crate::tally::Tally;
use anyhow::{Context, Result};
use std::time::Instant;

struct Control {
    package: &'static str,
    /// What `planted` is asked for.
    fault: &'static str,
    /// What is wrong with it.
    wrong: &'static str,
    /// Arguments of `cargo test`: the tests that must notice.
    tests: &'static [&'static str],
    /// Sizes, where the suite's own are more than it takes to notice.
    env: &'static [(&'static str, &'static str)],
}

const CONTROLS: &[Control] = &[
    Control {
        package: "heyho-buffer",
        fault: "same-revision",
        wrong: "a newer version does not raise the revision, so the older one's confirmation deletes it",
        tests: &["--test", "model"],
        env: &[],
    },
    Control {
        package: "heyho-buffer",
        fault: "digests-kept",
        wrong: "what is erased leaves its digests",
        tests: &["--test", "erase"],
        env: &[],
    },
    Control {
        package: "heyho-buffer",
        fault: "log-kept",
        wrong: "what is erased stays in the log",
        tests: &["--test", "erase"],
        env: &[],
    },
    Control {
        package: "heyho-buffer",
        fault: "insecure-delete",
        wrong: "what is deleted stays in free pages",
        tests: &["--test", "erase"],
        env: &[],
    },
    Control {
        package: "heyho-buffer",
        fault: "vacuum-one-step",
        wrong: "giving pages back stops after the first",
        tests: &["--test", "growth"],
        env: &[],
    },
    Control {
        package: "heyho-buffer",
        fault: "checksum-ignored",
        wrong: "a text that is not what was stored is passed on",
        tests: &["--test", "damage"],
        env: &[("HEYHO_DAMAGES", "60")],
    },
    Control {
        package: "heyho-buffer",
        fault: "range-given-up",
        wrong: "a range of rows that cannot be read is not halved",
        tests: &["--test", "damage"],
        env: &[("HEYHO_DAMAGES", "1")],
    },
    Control {
        package: "heyho-buffer",
        fault: "scans-for-held",
        wrong: "held records are counted over all that waits",
        tests: &["--test", "scale"],
        env: &[],
    },
    Control {
        package: "heyho-buffer",
        fault: "writes-any-schema",
        wrong: "a newer file is written to although it says that older programs would break it",
        tests: &["--test", "upgrade"],
        env: &[],
    },
    Control {
        package: "heyho-records",
        fault: "nul-kept",
        wrong: "U+0000 stays in what is stored",
        tests: &["--test", "fuzz"],
        env: &[],
    },
    Control {
        package: "heyho-host",
        fault: "early-ack",
        wrong: "an acknowledgement comes before the commit",
        tests: &["--test", "durability", "kill::"],
        env: &[],
    },
    Control {
        package: "heyho-host",
        fault: "early-ack",
        wrong: "an acknowledgement comes before the commit",
        tests: &["--test", "durability", "writes::"],
        env: &[],
    },
    Control {
        package: "heyho-host",
        fault: "answers-in-the-way",
        wrong: "answers are written by whoever stores, so that a browser that never reads is waited for",
        tests: &["--test", "host", "a_browser_that_never_reads"],
        env: &[],
    },
    Control {
        package: "heyho-host",
        fault: "half-a-frame",
        wrong: "what came out of the pipe at once is taken for the frame",
        tests: &["--test", "durability", "frames::"],
        env: &[],
    },
    Control {
        package: "heyho-host",
        fault: "migrates-unlocked",
        wrong: "a schema is brought up to date by several at once",
        tests: &["--test", "durability", "migration::"],
        env: &[],
    },
    Control {
        package: "heyho-host",
        fault: "log-as-found",
        wrong: "the log is taken up as it is found, with what a failed sync left in it",
        tests: &["--test", "durability", "writes::"],
        env: &[("HEYHO_FAILURE", "syncs fail"), ("HEYHO_SEED", "77")],
    },
    Control {
        package: "heyho-host",
        fault: "salvage-owed-to-nobody",
        wrong: "a salvage of a damaged file that is cut short is not known of afterwards",
        tests: &["--test", "durability", "recovery::a_salvage_that_is_cut_short"],
        env: &[("HEYHO_RECOVERY_STEPS", "30")],
    },
    Control {
        package: "heyho-host",
        fault: "import-forgets",
        wrong: "an import ends well and is not committed",
        tests: &["--test", "durability", "command_line::"],
        env: &[("HEYHO_COMMANDS", "20")],
    },
    Control {
        package: "heyho-host",
        fault: "normal",
        wrong: "synchronous=NORMAL: a commit is not synced",
        tests: &["--test", "durability", "power::"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "confirms-uncounted",
        wrong: "an answer confirms without its counts",
        tests: &["--lib"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "answer-before-commit",
        wrong: "a batch is answered and committed a moment later",
        tests: &["--test", "crash", "kill::two_nodes"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "plain-sequence",
        wrong: "versions come from a plain sequence",
        tests: &["--test", "http", "a_reader_by_version"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "failure-is-success",
        wrong: "a batch that a full disk refused is answered like one that was saved",
        tests: &["--test", "crash", "full_disk"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "no-decoded-limit",
        wrong: "what a body inflates to is not bounded",
        tests: &["--test", "http", "sync::sqlite::takes_gzip"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "no-decoded-limit",
        wrong: "what a body inflates to is not bounded: the memory it takes",
        tests: &["--test", "crash", "half_a_megabyte"],
        env: &[("HEYHO_BOMBS", "2")],
    },
    Control {
        package: "heyho-backend",
        fault: "endless-room",
        wrong: "the bodies that are held are not counted",
        tests: &["--test", "crash", "six_hundred_kilobytes"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "by-halves",
        wrong: "what is deleted and what is left in its place are two transactions",
        tests: &["--test", "crash", "a_deletion_on_sqlite"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "others-stay",
        wrong: "a new password ends no other session",
        tests: &["--test", "crash", "a_killed_sqlite_backend_forgets"],
        env: &[("HEYHO_KILLS", "2")],
    },
    Control {
        package: "heyho-backend",
        fault: "ends-forgotten",
        wrong: "the end of an account that broke off does not go on",
        tests: &["--test", "http", "account::sqlite::an_account_that_is_ending"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "no-deadlines",
        wrong: "slow clients may take their time",
        tests: &["--test", "http", "slow::sqlite::five_hundred"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "any-users-records",
        wrong: "one query does not ask whose records they are",
        tests: &["--test", "http", "nobody_reads"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "last-one-wins",
        wrong: "the last version to arrive stays, whichever is more complete",
        tests: &["--test", "store", "order::"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "endless-attempts",
        wrong: "a code may be guessed as often as one likes",
        tests: &["--test", "store", "attempts_at_once"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "open-tabs-fail",
        wrong: "a batch with an open tab is a 500: only a generated one that is valid finds it out",
        tests: &["--test", "crash", "what_is_asked_of_sqlite"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "all-at-once",
        wrong: "what goes is one statement, however much",
        tests: &["--test", "store", "a_large_deletion"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "tombstones-ignored",
        wrong: "what was deleted is stored again",
        tests: &["--test", "store", "deletion::sqlite"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "forgotten-forgiven",
        wrong: "a spent token that was forgotten ends nothing",
        tests: &["--test", "store", "sqlite::a_spent_token"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "keys-ignored",
        wrong: "an answer is never given again",
        tests: &["--test", "http", "sixty_four_twins"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "any-signature",
        wrong: "the signature of an access token is not looked at",
        tests: &["--test", "http", "sqlite::whatever_is_no_sign_in"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "read-anew",
        wrong: "a record is written as it was understood, not as it was sent",
        tests: &["--test", "http", "sqlite::odd_values"],
        env: &[],
    },
    Control {
        package: "heyho-backend",
        fault: "one-user-takes-all",
        wrong: "one user's requests take every connection",
        tests: &["--test", "http", "one_user_does_not"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "blames-at-once",
        wrong: "a record that is refused alone is set aside though nothing else is accepted",
        tests: &["--lib", "core::tests::sick"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "vouches-for-anything",
        wrong: "any answer at all vouches for the backend, and what it refuses is set aside",
        tests: &["--lib", "what_is_well_elsewhere"],
        env: &[("PROPTEST_CASES", "64")],
    },
    Control {
        package: "heyho-sync",
        fault: "mixes-tabs",
        wrong: "tabs of one id but of two profiles share a request",
        tests: &["--lib", "heyhos_service"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "sends-twice",
        wrong: "a visit goes twice in one request, the older version too",
        tests: &["--lib", "a_visit_goes_once"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "goes-in-circles",
        wrong: "a run that comes to nothing goes on without end",
        tests: &["--lib", "a_run_that_comes_to_nothing"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "blames-the-batch",
        wrong: "a session that cannot be renewed is taken for a fault of the batch",
        tests: &["--lib", "a_session_that_cannot_be_renewed"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "vouches-for-ever",
        wrong: "a backend that takes nothing new has all that waits set aside",
        tests: &["--lib", "who_takes_what_it_has"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "ignores-bytes",
        wrong: "a request is longer than its limit",
        tests: &["--lib", "plan::tests"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "reads-cut-answers",
        wrong: "an answer that broke off is read as if it were whole",
        tests: &["--test", "http", "whatever_stays_wrong"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "no-backoff",
        wrong: "the wait does not lengthen while the backend stays away, so that all return at once",
        tests: &["--lib", "after_an_outage"],
        env: &[],
    },
    Control {
        package: "heyho-sync",
        fault: "logs-token",
        wrong: "a token stands in the trace log",
        tests: &["--test", "http", "secrets"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "forgets-flight",
        wrong: "after a crash the records in flight go out under another key",
        tests: &["--lib", "crash_tests"],
        env: &[("HEYHO_SEEDS", "2")],
    },
    Control {
        package: "heyho-agent",
        fault: "stuck-at-the-head",
        wrong: "what waits for something else stands in everybody's way",
        tests: &["--lib", "stands_in_nobodys_way"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "waits-in-circles",
        wrong: "visits that opened each other are never tried alone",
        tests: &["--lib", "in_a_circle"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "parts-tabs",
        wrong: "an aggregate goes without the visit that is left out",
        tests: &["--lib", "an_aggregate_waits_with"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "sends-twice",
        wrong: "the page that is looked at goes twice in one request",
        tests: &["--lib", "heyhos_service"],
        env: &[("HEYHO_TABS", "40")],
    },
    Control {
        package: "heyho-agent",
        fault: "loses-renewal",
        wrong: "a renewal whose answer is lost is not asked for again",
        tests: &["--lib", "whose_answer_is_lost"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "forgets-floor",
        wrong: "what a backend asked for is forgotten with the program",
        tests: &["--test", "agent", "waits::a_backend_that_asks"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "run-outlives-account",
        wrong: "a run goes on for whoever began it with the records of whoever is signed in now",
        tests: &["--test", "agent", "switching"],
        env: &[("HEYHO_SWITCHES", "200")],
    },
    Control {
        package: "heyho-agent",
        fault: "drops-renewal",
        wrong: "a renewal of the session ends with the run that asked for it, and its tokens are lost",
        tests: &["--test", "agent", "a_renewal_that_was_asked_for"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "late-renewal-wins",
        wrong: "a renewal that comes late replaces the tokens of a new sign-in",
        tests: &["--lib", "a_renewal_that_comes_late"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "shows-forgotten",
        wrong: "what is forgotten while it is being delivered is shown as delivered",
        tests: &["--lib", "the_last_deliveries"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "tells-again",
        wrong: "what stood when the program ended is told once more at the next start",
        tests: &["--test", "agent", "failed_records_and"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "spins-when-paused",
        wrong: "what is due in a pause is looked at without end",
        tests: &["--test", "agent", "what_is_due_in_a_pause"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "wall-clock-schedule",
        wrong: "the schedule is kept by the clock on the wall",
        tests: &["--test", "agent", "jumps_a_year"],
        env: &[],
    },
    Control {
        package: "heyho-agent",
        fault: "sleeps-through",
        wrong: "a request that was slept through is waited for",
        tests: &["--test", "agent", "slept_through"],
        env: &[],
    },
];

/// All of them, or those whose name contains the filter.
pub fn run(filter: Option<&str>) -> Result<Tally> {
    let mut tally = Tally::default();
    for control in CONTROLS.iter().filter(|c| filter.is_none_or(|part| c.fault.contains(part))) {
        let Control { package, fault, wrong, tests, env } = control;
        say(&format!("broken control of {package}, {fault}: {wrong}"));
        let mut cargo = command(&["cargo", "test", "--locked", "-p", package]);
        cargo.args(["--features", "heyho-records/broken-control"]).args(*tests);
        cargo.arg("--target-dir").arg(target().join("controls"));
        cargo.env("HEYHO_FAULT", fault).envs(env.iter().copied());
        let start = Instant::now();
        let output = cargo.output().context("cargo could not be started")?;
        let seconds = start.elapsed().as_secs();
        let text = String::from_utf8_lossy(&output.stdout);
        // A build that fails is red too, and proves as little.
        let red = text.lines().any(|line| line.starts_with("test ") && line.ends_with("FAILED"));
        if red && !output.status.success() {
            tally.passed += 1;
            eprintln!("   red, as it must be ({seconds} s)");
        } else {
            tally.failed += 1;
            eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
            eprintln!("   the suite did not notice the fault ({seconds} s)");
        }
    }
    Ok(tally)
}
