//! What may happen, at random.

use heyho_records::Kind;
use proptest::prelude::*;

pub const NOW: i64 = 1_700_000_000_000;
pub const DAY: i64 = 86_400_000;
pub const USERS: usize = 2;
pub const UNKNOWN_REF: &str = "a-ref-nobody-has";

/// One version of a record: two of the same (end, title) are the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub kind: Kind,
    pub id: u8,
    pub end: u8,
    pub title: u8,
    /// Breaks a rule of the contract: kept among the failed.
    pub bad: bool,
}

impl Version {
    pub fn text(self) -> String {
        let Version { id, end, title, bad, .. } = self;
        let id_part = if self.kind == Kind::PageVisit { format!("v{id}") } else { format!("t{id}") };
        let site = site(id % SITES);
        match (self.kind, bad) {
            (Kind::PageVisit, false) => format!(
                r#"{{"id":"{id_part}","url":"http://{site}/","startedAt":1,"endedAt":{end},"title":"{title}"}}"#
            ),
            (Kind::PageVisit, true) => format!(r#"{{"id":"{id_part}","startedAt":1,"title":"{title}"}}"#),
            (Kind::TabAggregate, false) => format!(
                r#"{{"id":"{id_part}","startTime":1,"tabId":{id},"lastActiveTime":{end},"x":{title}{}}}"#,
                seen(site)
            ),
            (Kind::TabAggregate, true) => format!(
                r#"{{"id":"{id_part}","startTime":1,"tabId":{id},"totalActiveDuration":-1,"x":{title}{}}}"#,
                seen(site)
            ),
        }
    }

    pub fn id(self) -> String {
        format!("{}{}", if self.kind == Kind::PageVisit { "v" } else { "t" }, self.id)
    }
}

/// What an aggregate says of a site.
pub fn seen(site: &str) -> String {
    format!(r#","currentUrl":"http://{site}/""#)
}

pub fn site(number: u8) -> &'static str {
    ["one.example", "two.example"][number as usize]
}

pub const SITES: u8 = 2;

#[derive(Debug, Clone)]
pub enum Under {
    /// The frame names no account.
    Nobody,
    User(usize),
    Unknown,
}

#[derive(Debug, Clone)]
pub enum Step {
    Append {
        source: u8,
        under: Under,
        hold: i64,
        frames: Vec<Vec<Version>>,
    },
    Batch {
        user: usize,
        visits: usize,
        aggregates: usize,
    },
    /// What becomes of each record of the batch in flight, and of the batch.
    Settle {
        user: usize,
        answers: Vec<u8>,
        fate: u8,
    },
    Retry(Option<usize>),
    Discard(Option<usize>),
    Keep(Option<usize>),
    SignIn {
        user: usize,
        claim: bool,
    },
    SignOut,
    /// What nobody has, for who is signed in.
    Claim,
    DiscardWaiting(usize),
    Forget(u8),
    DiscardAccount(usize),
    EraseEverything,
    Export,
    /// What was exported last.
    Import,
    /// The cap is reached, or lifted.
    Cap(bool),
    Days(i64),
    Crash,
    Reopen,
}

pub fn version() -> impl Strategy<Value = Version> {
    (any::<bool>(), 0..4u8, 0..4u8, 0..2u8, prop::bool::weighted(0.1)).prop_map(
        |(visit, id, end, title, bad)| Version {
            kind: if visit { Kind::PageVisit } else { Kind::TabAggregate },
            id,
            end,
            title,
            bad,
        },
    )
}

pub fn step() -> impl Strategy<Value = Step> {
    let under = prop_oneof![
        6 => Just(Under::Nobody), 2 => (0..USERS).prop_map(Under::User), 1 => Just(Under::Unknown)];
    let frames = prop::collection::vec(prop::collection::vec(version(), 0..5), 1..4);
    let one = || prop_oneof![Just(None), (0..4usize).prop_map(Some)];
    prop_oneof![
        10 => (0..2u8, under, prop_oneof![5 => Just(0), 1 => Just(DAY)], frames)
            .prop_map(|(source, under, hold, frames)| Step::Append { source, under, hold, frames }),
        6 => (0..USERS, 0..4usize, 0..4usize)
            .prop_map(|(user, visits, aggregates)| Step::Batch { user, visits, aggregates }),
        6 => (0..USERS, prop::collection::vec(0..6u8, 8), 0..6u8)
            .prop_map(|(user, answers, fate)| Step::Settle { user, answers, fate }),
        2 => one().prop_map(Step::Retry),
        1 => one().prop_map(Step::Discard),
        1 => one().prop_map(Step::Keep),
        3 => (0..USERS, any::<bool>()).prop_map(|(user, claim)| Step::SignIn { user, claim }),
        2 => Just(Step::SignOut),
        1 => Just(Step::Claim),
        1 => (0..4usize).prop_map(Step::DiscardWaiting),
        1 => (0..SITES).prop_map(Step::Forget),
        1 => (0..USERS).prop_map(Step::DiscardAccount),
        1 => prop::bool::weighted(0.3).prop_map(|all| if all { Step::EraseEverything } else { Step::Reopen }),
        2 => prop::bool::ANY.prop_map(|out| if out { Step::Export } else { Step::Import }),
        1 => prop::bool::weighted(0.4).prop_map(Step::Cap),
        1 => (1..9i64).prop_map(Step::Days),
        2 => Just(Step::Crash),
    ]
}
