//! The oldest records, as the bytes of one request.
//!
//! ```json
//! {"batchId":"…","deviceId":"…","pageVisits":[…],"tabAggregates":[…]}
//! ```
//!
//! - Candidates come oldest first in one order over both kinds. When a kind is full, the other goes on; the
//!   first record that does not fit the bytes ends the batch, so that a large record is not overtaken for ever.
//! - The limit of bytes is that of the whole body. A record that is larger by itself goes alone, up to the hard
//!   limit; beyond that it is reported as unsendable, so that it can be set aside instead of going in circles.
//! - Baseline mode (HeyHo's service ties an aggregate to the first visit of the same tabId in the request):
//!   an aggregate brings its anchor visit along (where the visit itself is in the request, in a newer version, that
//!   stands for it: nothing goes twice in one request), one tabId of two tab lives never shares a request, and no
//!   record overtakes another, so that an aggregate never comes before its visit. A visit that another one opened
//!   never comes before that one, in no earlier request and not in front of it; what belongs to its tab waits with it.

use crate::task::{BatchItem, BatchLimits, Mode, Role, RowRef, Unsendable};
use crate::wire;
use heyho_records::Kind;
use heyho_records::fault::planted;
use heyho_records::reason::Reason;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A waiting record, as the buffer has it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub row: RowRef,
    /// The identity's source: goes to the wire as `companionSource`.
    pub source: &'a str,
    pub id: &'a str,
    /// The record itself carries no id.
    pub id_derived: bool,
    /// The visit an aggregate belongs to, where it is known.
    pub page_visit_id: Option<&'a str>,
    pub attempts: u32,
    /// The record's text, verbatim.
    pub text: &'a str,
    /// The tab it belongs to; only used in baseline mode.
    pub tab: Option<Tab<'a>>,
    /// The waiting visit of the same source that opened this one (`source_page_visit_id`); only used in baseline mode.
    pub opener: Option<&'a str>,
    /// The visit to send along in baseline mode when this aggregate's visit was delivered before.
    pub anchor: Option<Anchor<'a>>,
}

/// A tab during one browser session of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tab<'a> {
    /// `tabId` as it stands on the wire.
    pub id: &'a str,
    /// Tells apart two tabs of the same id: of two sources, or before and after a restart of the browser.
    pub life: &'a str,
}

/// A visit that was confirmed before.
#[derive(Debug, Clone, Copy)]
pub struct Anchor<'a> {
    pub row: RowRef,
    pub source: &'a str,
    pub id: &'a str,
    pub text: &'a str,
}

/// What stands around the records.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    pub batch_id: String,
    pub device_id: String,
    /// Logged by HeyHo's service where a batch has one source: `extensionVersion`, `browserName`,
    /// `browserVersion`, `anonymousClientId`.
    pub extras: BTreeMap<String, String>,
}

/// One request, ready to be persisted. Without items there is nothing to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub body: Vec<u8>,
    pub items: Vec<BatchItem>,
    pub unsendable: Vec<Unsendable>,
}

/// Plans a batch of the candidates that fit.
pub fn plan<'a>(
    envelope: &Envelope,
    limits: &BatchLimits,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> Plan {
    let mut draft = Draft::new(envelope, limits);
    let mut unsendable = Vec::new();
    let mut candidates: VecDeque<Candidate<'a>> = candidates.into_iter().collect();
    let mut behind = Behind::new(limits.mode, &candidates);
    while let Some(candidate) = candidates.pop_front() {
        if draft.is_full() {
            break;
        }
        if draft.kind_is_full(candidate.row.kind) {
            match limits.mode {
                Mode::Full => continue,
                Mode::Baseline => break,
            }
        }
        if behind.must_wait(&candidate) {
            continue;
        }
        match draft.add(&candidate) {
            Ok(Added::Yes) => {
                behind.came(&candidate).into_iter().rev().for_each(|it| candidates.push_front(it))
            }
            Ok(Added::NotInThisRequest) => {}
            Ok(Added::NoRoom) => break,
            Err(reason) => unsendable.push(Unsendable { row: candidate.row, reason }),
        }
    }
    let (body, items) = draft.finish();
    Plan { body, items, unsendable }
}

/// What waits for the visit that opened it.
struct Behind<'a> {
    waiting: Vec<Candidate<'a>>,
    came: BTreeSet<(&'a str, &'a str)>,
    /// Openers that open each other in a circle: nobody is first, so nobody waits.
    circles: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Behind<'a> {
    fn new(mode: Mode, candidates: &VecDeque<Candidate<'a>>) -> Behind<'a> {
        let mut behind = Behind { waiting: Vec::new(), came: BTreeSet::new(), circles: BTreeSet::new() };
        let opened: BTreeMap<(&str, &str), &str> =
            candidates.iter().filter_map(|it| Some(((it.source, it.id), it.opener?))).collect();
        if mode == Mode::Full || opened.is_empty() {
            behind.circles.extend(opened.keys());
            return behind;
        }
        for start in opened.keys() {
            let openers = std::iter::successors(Some(*start), |it| Some((it.0, *opened.get(it)?)));
            if openers.skip(1).take(opened.len()).any(|it| it == *start) {
                behind.circles.insert(*start);
            }
        }
        behind
    }

    fn must_wait(&mut self, candidate: &Candidate<'a>) -> bool {
        let opener = candidate.opener.map(|id| (candidate.source, id));
        let opener_waits = opener.is_some_and(|it| !self.came.contains(&it))
            && !self.circles.contains(&(candidate.source, candidate.id));
        let life = candidate.tab.map(|tab| tab.life);
        let tab_waits = life.is_some() && self.waiting.iter().any(|it| it.tab.map(|tab| tab.life) == life);
        if opener_waits || tab_waits {
            self.waiting.push(*candidate);
        }
        opener_waits || tab_waits
    }

    /// This visit is in the request: what waited may come now, in its old order.
    fn came(&mut self, candidate: &Candidate<'a>) -> Vec<Candidate<'a>> {
        if candidate.row.kind == Kind::PageVisit {
            self.came.insert((candidate.source, candidate.id));
        }
        let freed =
            self.waiting.iter().any(|it| it.source == candidate.source && it.opener == Some(candidate.id));
        if freed { std::mem::take(&mut self.waiting) } else { Vec::new() }
    }
}

enum Added {
    Yes,
    NoRoom,
    /// It would be misread beside what is already there; it waits for the next request.
    NotInThisRequest,
}

/// A request being filled. `bytes` is always the length the finished body would have.
struct Draft<'a, 'l> {
    limits: &'l BatchLimits,
    head: String,
    lists: [Vec<String>; 2],
    items: [Vec<BatchItem>; 2],
    bytes: usize,
    empty_bytes: usize,
    /// Which life each tabId of this request belongs to.
    lives: BTreeMap<&'a str, &'a str>,
    /// The visits that go along, by source and id.
    anchors: BTreeMap<(&'a str, &'a str), RowRef>,
    /// The visits of this request that wait themselves.
    own: BTreeSet<(&'a str, &'a str)>,
}

const LISTS: [&str; 2] = ["pageVisits", "tabAggregates"];

fn place(kind: Kind) -> usize {
    match kind {
        Kind::PageVisit => 0,
        Kind::TabAggregate => 1,
    }
}

impl<'a, 'l> Draft<'a, 'l> {
    fn new(envelope: &Envelope, limits: &'l BatchLimits) -> Draft<'a, 'l> {
        let mut head = String::from("{");
        wire::member(&mut head, "batchId", &wire::quoted(&envelope.batch_id));
        wire::member(&mut head, "deviceId", &wire::quoted(&envelope.device_id));
        for (name, value) in &envelope.extras {
            wire::member(&mut head, name, &wire::quoted(value));
        }
        let lists: usize = LISTS.iter().map(|name| r#","":[]"#.len() + name.len()).sum();
        let bytes = head.len() + lists + 1;
        Draft {
            limits,
            head,
            lists: Default::default(),
            items: Default::default(),
            bytes,
            empty_bytes: bytes,
            lives: BTreeMap::new(),
            anchors: BTreeMap::new(),
            own: BTreeSet::new(),
        }
    }

    fn is_full(&self) -> bool {
        let own = |items: &Vec<BatchItem>| items.iter().filter(|item| item.role == Role::Own).count();
        self.items.iter().map(own).sum::<usize>() >= self.limits.max_records
            || Kind::ALL.into_iter().all(|kind| self.kind_is_full(kind))
    }

    fn kind_is_full(&self, kind: Kind) -> bool {
        let most = match kind {
            Kind::PageVisit => self.limits.max_page_visits,
            Kind::TabAggregate => self.limits.max_tab_aggregates,
        };
        self.items[place(kind)].len() >= most
    }

    fn add(&mut self, candidate: &Candidate<'a>) -> Result<Added, Reason> {
        let text =
            wire::record(candidate, self.limits.mode).map_err(|message| Reason::Damaged { message })?;
        let alone = self.empty_bytes + text.len();
        if alone > self.limits.single_bytes {
            let limit = self.limits.single_bytes;
            return Err(Reason::TooLarge { bytes: alone as u64, limit: limit as u64 });
        }
        if self.limits.mode == Mode::Baseline {
            if let Some(tab) = candidate.tab
                && self.lives.get(tab.id).is_some_and(|life| *life != tab.life)
                // The fault: two tabs of one id share a request.
                && !planted("mixes-tabs")
            {
                return Ok(Added::NotInThisRequest);
            }
            if let Some(anchor) = candidate.anchor
                && !self.anchors.contains_key(&(anchor.source, anchor.id))
                && !self.own.contains(&(anchor.source, anchor.id))
                && !self.add_anchor(&anchor, text.len())?
            {
                return Ok(Added::NoRoom);
            }
        }
        let item = BatchItem {
            row: candidate.row,
            id: candidate.id.to_owned(),
            attempts: candidate.attempts,
            role: Role::Own,
        };
        if !self.push(text, item) {
            return Ok(Added::NoRoom);
        }
        if candidate.row.kind == Kind::PageVisit {
            self.own.insert((candidate.source, candidate.id));
            // The fault: the older version stays beside the newer one.
            if let Some(anchor) = self.anchors.remove(&(candidate.source, candidate.id))
                && !planted("sends-twice")
            {
                self.drop_anchor(anchor);
            }
        }
        if let Some(tab) = candidate.tab {
            self.lives.insert(tab.id, tab.life);
        }
        Ok(Added::Yes)
    }

    /// Puts the anchor first among the visits, if there is room for it and what needs it.
    fn add_anchor(&mut self, anchor: &Anchor<'a>, needs: usize) -> Result<bool, Reason> {
        let as_visit = Candidate {
            row: anchor.row,
            source: anchor.source,
            id: anchor.id,
            id_derived: false,
            page_visit_id: None,
            attempts: 0,
            text: anchor.text,
            tab: None,
            opener: None,
            anchor: None,
        };
        let text =
            wire::record(&as_visit, self.limits.mode).map_err(|message| Reason::Damaged { message })?;
        let nothing_yet = self.items.iter().all(Vec::is_empty);
        let fits = self.bytes + text.len() + needs + 2 <= self.limits.max_bytes
            && !self.kind_is_full(Kind::PageVisit);
        if !fits && !nothing_yet {
            return Ok(false);
        }
        let item = BatchItem { row: anchor.row, id: anchor.id.to_owned(), attempts: 0, role: Role::Anchor };
        self.bytes += text.len() + usize::from(!self.lists[0].is_empty());
        self.lists[0].insert(0, text);
        self.items[0].insert(0, item);
        self.anchors.insert((anchor.source, anchor.id), anchor.row);
        Ok(true)
    }

    /// What it stood for is in the request itself now.
    fn drop_anchor(&mut self, anchor: RowRef) {
        if let Some(index) = self.items[0].iter().position(|item| item.row == anchor) {
            self.items[0].remove(index);
            // The visit that takes its place is in the list: a comma goes too.
            self.bytes -= self.lists[0].remove(index).len() + 1;
        }
    }

    fn push(&mut self, text: String, item: BatchItem) -> bool {
        let list = place(item.row.kind);
        let bytes = self.bytes + text.len() + usize::from(!self.lists[list].is_empty());
        let has_own = self.items.iter().flatten().any(|item| item.role == Role::Own);
        // The fault: what is over the limit of bytes goes along.
        if bytes > self.limits.max_bytes && has_own && !planted("ignores-bytes") {
            return false;
        }
        self.bytes = bytes;
        self.lists[list].push(text);
        self.items[list].push(item);
        true
    }

    fn finish(self) -> (Vec<u8>, Vec<BatchItem>) {
        let mut body = self.head;
        for (name, list) in LISTS.iter().zip(&self.lists) {
            wire::member(&mut body, name, &format!("[{}]", list.join(",")));
        }
        body.push('}');
        debug_assert_eq!(body.len(), self.bytes);
        (body.into_bytes(), self.items.into_iter().flatten().collect())
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
