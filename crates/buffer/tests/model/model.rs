//! The model: lists and maps.

use crate::steps::{USERS, Under, Version, seen};
use heyho_records::Kind;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Waiting,
    Failed,
    Kept,
}

/// Whose a row is, and without one who may claim it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    User(usize),
    FirstToCome,
    Only(usize),
    /// Whoever asks for it; nobody silently.
    Asker,
    Stranger,
}

pub type Identity = (u8, Kind, String);

#[derive(Debug, Clone)]
pub struct Row {
    /// Grows with the place in the queue; never given twice.
    pub place: u64,
    pub identity: Identity,
    pub text: String,
    pub end: u8,
    pub revision: i64,
    pub state: State,
    pub owner: Owner,
    /// It was good when it arrived.
    pub accepted: bool,
    pub held_until: i64,
}

/// Of what was delivered: text, revision, when, and for whom.
type Remembered = (String, i64, i64, Owner);

#[derive(Debug, Default)]
pub struct Model {
    pub rows: Vec<Row>,
    pub delivered: BTreeMap<(u8, u8, String), Remembered>,
    /// By user: (place, revision, kind).
    pub batches: BTreeMap<usize, Vec<(u64, i64)>>,
    pub keys: u64,
    pub places: u64,
    pub signed_in: Option<usize>,
    pub last: Option<usize>,
    pub known: [bool; USERS],
    pub exported: Vec<Row>,
    pub now: i64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub stored: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub rejected: usize,
}

pub fn delivered_key(identity: &Identity) -> (u8, u8, String) {
    (identity.0, identity.1.number() as u8, identity.2.clone())
}

impl Model {
    pub fn place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }

    pub fn find(&self, identity: &Identity) -> Option<usize> {
        self.rows.iter().position(|row| row.identity == *identity)
    }

    pub fn append(&mut self, source: u8, under: &Under, hold: i64, frames: &[Vec<Version>]) -> Vec<Answer> {
        let held_until = if hold > 0 { self.now + hold } else { 0 };
        let owner = match under {
            Under::User(user) if self.known[*user] => Owner::User(*user),
            Under::User(user) => Owner::Only(*user),
            Under::Unknown => Owner::Stranger,
            Under::Nobody => match (self.signed_in, self.last) {
                (Some(user), _) => Owner::User(user),
                (None, Some(last)) => Owner::Only(last),
                (None, None) => Owner::FirstToCome,
            },
        };
        let mut answers = Vec::new();
        for frame in frames {
            let mut answer = Answer::default();
            // Visits stand before aggregates; what is rejected is kept before what is stored.
            let mut frame = frame.clone();
            frame.sort_by_key(|version| version.kind.number());
            let mut fresh: Vec<Row> = Vec::new();
            for version in frame {
                let identity = (source, version.kind, version.id());
                let text = version.text();
                let here = self.find(&identity).is_some() || fresh.iter().any(|row| row.identity == identity);
                let before = self.delivered.get(&delivered_key(&identity)).filter(|_| !here);
                // Still of whom it was delivered for, where the frame does not say.
                let owner = match (before, under) {
                    (Some((.., owner)), Under::Nobody) => *owner,
                    _ => owner,
                };
                if version.bad {
                    if self.reject(identity, text, owner, &fresh) {
                        answer.rejected += 1;
                    } else {
                        answer.unchanged += 1;
                    }
                    continue;
                }
                let row = |owner, revision| Row {
                    place: 0,
                    identity: identity.clone(),
                    text: text.clone(),
                    end: version.end,
                    revision,
                    state: State::Waiting,
                    owner,
                    accepted: true,
                    held_until,
                };
                if let Some(at) = fresh.iter().position(|row| row.identity == identity) {
                    if fresh[at].text == text || fresh[at].end > version.end {
                        answer.unchanged += 1;
                    } else {
                        answer.updated += 1;
                        fresh[at] = row(fresh[at].owner, fresh[at].revision + 1);
                    }
                    continue;
                }
                match self.find(&identity) {
                    Some(at) if self.rows[at].text == text => answer.unchanged += 1,
                    Some(at) if self.rows[at].state == State::Waiting => {
                        let old = &mut self.rows[at];
                        if old.end > version.end {
                            answer.unchanged += 1;
                        } else {
                            answer.updated += 1;
                            let (place, held_until) = (old.place, old.held_until);
                            *old = Row { place, held_until, ..row(old.owner, old.revision + 1) };
                        }
                    }
                    Some(at) => {
                        answer.updated += 1;
                        let old = self.rows.remove(at);
                        fresh.push(row(old.owner, old.revision + 1));
                    }
                    None => match self.delivered.get(&delivered_key(&identity)) {
                        Some((content, ..)) if *content == text => answer.unchanged += 1,
                        Some((_, revision, ..)) => {
                            answer.stored += 1;
                            fresh.push(row(owner, revision + 1));
                        }
                        None => {
                            answer.stored += 1;
                            fresh.push(row(owner, 1));
                        }
                    },
                }
            }
            for mut row in fresh {
                row.place = self.place();
                self.rows.push(row);
            }
            answers.push(answer);
        }
        answers
    }

    /// Kept once, under its own id where no good version has it, else under one of its own. False: it is here
    /// already.
    pub fn reject(&mut self, mut identity: Identity, text: String, mut owner: Owner, fresh: &[Row]) -> bool {
        let by_content = (identity.0, identity.1, format!("rejected:{text}"));
        for here in [&identity, &by_content] {
            let kept = self.find(here).is_some_and(|at| self.rows[at].text == text);
            let gone = self.find(here).is_none()
                && self.delivered.get(&delivered_key(here)).is_some_and(|(content, ..)| *content == text);
            if kept || gone {
                return false;
            }
        }
        let good = |row: &Row| row.identity == identity && (row.state == State::Waiting || row.accepted);
        let taken = self.rows.iter().chain(fresh).any(good)
            || (self.find(&identity).is_none() && self.delivered.contains_key(&delivered_key(&identity)));
        if taken {
            identity = by_content;
        }
        let mut revision = 1;
        if let Some(at) = self.find(&identity) {
            let old = self.rows.remove(at);
            (revision, owner) = (old.revision + 1, old.owner);
        }
        let place = self.place();
        let state = State::Failed;
        self.rows.push(Row {
            place,
            identity,
            text,
            end: 0,
            revision,
            state,
            owner,
            accepted: false,
            held_until: 0,
        });
        true
    }

    pub fn in_order(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.place);
        rows
    }

    pub fn oldest(&self, user: usize, visits: usize, aggregates: usize) -> Vec<&Row> {
        let (mut visits, mut aggregates) = (visits, aggregates);
        self.in_order()
            .into_iter()
            .filter(|row| row.state == State::Waiting && row.owner == Owner::User(user))
            .filter(|row| row.held_until <= self.now)
            .filter(|row| {
                let left = if row.identity.1 == Kind::PageVisit { &mut visits } else { &mut aggregates };
                let taken = *left > 0;
                *left = left.saturating_sub(1);
                taken
            })
            .collect()
    }

    pub fn sign_in(&mut self, user: usize, claim: bool) {
        let first = self.last.is_none();
        self.known[user] = true;
        for row in &mut self.rows {
            if row.owner == Owner::Only(user) || (row.owner == Owner::FirstToCome && first) {
                row.owner = Owner::User(user);
            }
        }
        if claim {
            self.claim(user);
        }
        self.signed_in = Some(user);
        self.last = Some(user);
    }

    /// Captured after somebody's sign-out, or before any: whoever the user says. Under an account that never
    /// signed in here: that one's alone.
    pub fn claim(&mut self, user: usize) {
        let known = self.known;
        for row in &mut self.rows {
            let claims = match row.owner {
                Owner::FirstToCome | Owner::Asker => true,
                Owner::Only(only) => known[only],
                Owner::User(_) | Owner::Stranger => false,
            };
            if claims {
                row.owner = Owner::User(user);
            }
        }
    }

    pub fn forget(&mut self, site: &str) {
        let (address, part) = (format!("\"http://{site}/\""), seen(site));
        self.rows.retain(|row| {
            !(row.text.contains(&address) && (row.identity.1 == Kind::PageVisit || !row.accepted))
        });
        for row in self.rows.iter_mut().filter(|row| row.text.contains(&part)) {
            row.text = row.text.replace(&part, "");
            row.revision += 1;
        }
        self.forget_traces();
    }

    pub fn forget_traces(&mut self) {
        self.batches.clear();
        self.delivered.clear();
    }

    /// False: there is no such account.
    pub fn discard_account(&mut self, user: usize) -> bool {
        if !self.known[user] {
            return false;
        }
        self.rows.retain(|row| row.owner != Owner::User(user));
        self.forget_traces();
        if ![self.signed_in, self.last].contains(&Some(user)) {
            self.known[user] = false;
            for row in self.rows.iter_mut().filter(|row| row.owner == Owner::Only(user)) {
                row.owner = Owner::Asker;
            }
        }
        true
    }

    pub fn erase_everything(&mut self) {
        self.rows.clear();
        self.forget_traces();
        for user in 0..USERS {
            self.known[user] &= [self.signed_in, self.last].contains(&Some(user));
        }
    }

    /// Stored, updated, unchanged.
    pub fn import(&mut self) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for line in self.exported.clone() {
            let owner = match line.owner {
                Owner::User(user) => {
                    self.known[user] = true;
                    Owner::User(user)
                }
                _ => Owner::Asker,
            };
            let here = self.find(&line.identity);
            let gone = self.delivered.get(&delivered_key(&line.identity)).filter(|_| here.is_none());
            let fresh = |revision: i64| Row {
                owner,
                held_until: 0,
                revision: revision.max(line.revision),
                ..line.clone()
            };
            let new = match (line.state, here) {
                (State::Waiting, Some(at)) if self.rows[at].text == line.text => None,
                (State::Waiting, Some(at)) if self.rows[at].state == State::Waiting => {
                    let old = &mut self.rows[at];
                    if old.end > line.end {
                        None
                    } else {
                        counts.1 += 1;
                        let revision = line.revision.max(old.revision + 1);
                        (old.text, old.end, old.revision) = (line.text, line.end, revision);
                        continue;
                    }
                }
                (State::Waiting, Some(at)) => {
                    counts.1 += 1;
                    let old = self.rows.remove(at);
                    let place = self.place();
                    self.rows.push(Row { place, owner: old.owner, ..fresh(old.revision + 1) });
                    continue;
                }
                (State::Waiting, None) => match gone {
                    Some((content, ..)) if *content == line.text => None,
                    Some((_, revision, ..)) => Some(fresh(revision + 1)),
                    None => Some(fresh(1)),
                },
                (_, None) if gone.is_none() => Some(fresh(1)),
                _ => None,
            };
            match new {
                None => counts.2 += 1,
                Some(row) => {
                    counts.0 += 1;
                    let place = self.place();
                    self.rows.push(Row { place, ..row });
                }
            }
        }
        counts
    }

    /// Gone, and with them what is known of them: digests, and every batch, which may hold an older version.
    pub fn discard(&mut self, places: &[u64]) {
        if places.is_empty() {
            return;
        }
        for row in self.rows.extract_if(.., |row| places.contains(&row.place)) {
            self.delivered.remove(&delivered_key(&row.identity));
        }
        self.batches.clear();
    }

    pub fn nth_failed(&self, nth: Option<usize>) -> Vec<u64> {
        let failed = self.in_order().into_iter().filter(|row| row.state != State::Waiting);
        let places = failed.map(|row| row.place);
        match nth {
            None => places.collect(),
            Some(nth) => places.skip(nth).take(1).collect(),
        }
    }
}
