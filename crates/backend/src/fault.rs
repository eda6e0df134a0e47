//! Faults that the tests must notice: with the feature `broken-control` one of them, chosen by `HEYHO_FAULT`, is in
//! place. Without the feature [`planted`] is never true and nothing is compiled in; a release with it does not build.

#[cfg(all(feature = "broken-control", not(debug_assertions)))]
compile_error!("`broken-control` plants faults for tests of tests; it is never part of a release");

/// Each is one line where the name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A batch is answered, and committed a moment later.
    AnswerBeforeCommit,
    /// The version is given out before the rows are written, as by a plain sequence.
    EarlyVersion,
    /// A batch that could not be saved is answered like one that was.
    FailureIsSuccess,
    /// What a body inflates to is not bounded.
    NoDecodedLimit,
    /// Slow clients may take their time.
    NoDeadlines,
    /// One query does not ask whose records they are.
    AnyUsersRecords,
    /// The last version to arrive stays, whichever is more complete.
    LastOneWins,
    /// A code may be guessed as often as one likes.
    EndlessAttempts,
}

#[cfg(feature = "broken-control")]
pub fn planted(fault: Fault) -> bool {
    let name = match fault {
        Fault::AnswerBeforeCommit => "answer-before-commit",
        Fault::EarlyVersion => "early-version",
        Fault::FailureIsSuccess => "failure-is-success",
        Fault::NoDecodedLimit => "no-decoded-limit",
        Fault::NoDeadlines => "no-deadlines",
        Fault::AnyUsersRecords => "any-users-records",
        Fault::LastOneWins => "last-one-wins",
        Fault::EndlessAttempts => "endless-attempts",
    };
    std::env::var_os("HEYHO_FAULT").is_some_and(|wanted| wanted == name)
}

#[cfg(not(feature = "broken-control"))]
pub const fn planted(_: Fault) -> bool {
    false
}
