//! The buffer on a real file: each test is one sentence of docs/buffer.md.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

use heyho_buffer::*;
use heyho_records::native::Counts as Ack;
use heyho_records::reason::Reason;
use heyho_records::{Code, Kind};
use std::path::Path;

const NOW: i64 = 1_700_000_000_000;

struct Bench {
    dir: tempfile::TempDir,
    buffer: Buffer,
}

impl Bench {
    async fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let buffer = Buffer::open(&dir.path().join("data/buffer.db")).await.unwrap();
        Bench { dir, buffer }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("data/buffer.db")
    }

    async fn append(&self, visits: &[&str], aggregates: &[&str]) -> Appended {
        self.append_as(None, visits, aggregates).await
    }

    async fn append_as(&self, account: Option<&str>, visits: &[&str], aggregates: &[&str]) -> Appended {
        let arrival = Arrival::read(account.map(str::to_owned), visits, aggregates);
        self.buffer.append(&source("p1"), &[arrival], 0, NOW).await.unwrap().remove(0)
    }

    async fn sign_in(&self, user: &str) -> Account {
        let who = SignedIn {
            backend: "http://b".into(),
            user_id: user.into(),
            email: format!("{user}@x"),
            claim_others: false,
        };
        self.buffer.sign_in(&who, NOW).await.unwrap().0
    }

    async fn oldest(&self, account: &Account) -> Vec<Waiting> {
        let limits = Limits { page_visits: 100, tab_aggregates: 100, bytes: 1 << 20 };
        self.buffer.oldest(account.id, limits, &[], NOW).await.unwrap()
    }
}

fn source(profile: &str) -> Source {
    Source {
        name: format!("chrome-extension://abc/#{profile}"),
        profile_id: profile.into(),
        browser: "Chromium".into(),
        client: "test 1".into(),
    }
}

fn visit(id: &str, rest: &str) -> String {
    format!(r#"{{"id":"{id}","url":"http://a/{id}","startedAt":5{rest}}}"#)
}

fn item(w: &Waiting) -> BatchItem {
    BatchItem { seq: w.seq, revision: w.revision, kind: w.kind }
}

fn ack(stored: u64, updated: u64, unchanged: u64) -> Ack {
    Ack { stored, updated, unchanged, filtered: 0 }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_opening_again() {
    let bench = Bench::new().await;
    let text = r#"{"id":"v","url":"http://a/","startedAt":5,"n":2.4e21,"t":"\u00e9"}"#;
    assert_eq!(bench.append(&[text], &[]).await.counts, ack(1, 0, 0));
    bench.buffer.close().await;
    let again = Buffer::open(&bench.path()).await.unwrap();
    let account = bench_sign_in(&again).await;
    let rows = again
        .oldest(account.id, Limits { page_visits: 9, tab_aggregates: 9, bytes: 1 << 20 }, &[], NOW)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].text, text);
    assert!(rows[0].intact);
}

async fn bench_sign_in(buffer: &Buffer) -> Account {
    let who = SignedIn {
        backend: "http://b".into(),
        user_id: "1".into(),
        email: "1@x".into(),
        claim_others: false,
    };
    buffer.sign_in(&who, NOW).await.unwrap().0
}

#[tokio::test]
async fn each_record_of_a_frame_counts_once_also_when_its_id_stands_twice() {
    let bench = Bench::new().await;
    let (a, b, c) = (visit("a", ""), visit("a", r#","endedAt":9"#), visit("a", r#","endedAt":8"#));
    let got = bench.append(&[&a, &b, &b, &c, "5", r#"{"id":"x"}"#], &[r#"{"startTime":1,"tabId":2}"#]).await;
    assert_eq!(got.counts, ack(2, 1, 2));
    let rejected: Vec<_> = got.rejected.iter().map(|r| (r.index, r.code)).collect();
    assert_eq!(rejected, [(4, Code::NotAnObject), (5, Code::MissingUrl)]);
    let account = bench.sign_in("1").await;
    let rows = bench.oldest(&account).await;
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].text.as_str(), rows[0].revision), (b.as_str(), 2));
    let failed = bench.buffer.failed(0, 10, None).await.unwrap();
    assert_eq!(failed.len(), 2);
    assert!(matches!(&failed[0].reason, Reason::RejectedAtCapture { rule: Code::NotAnObject, .. }));
    // the very same bad records again, while they are among the failed
    assert_eq!(bench.append(&["5", r#"{"id":"x"}"#], &[]).await.counts, ack(0, 0, 2));
    assert_eq!(bench.buffer.failed(0, 10, None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_bad_version_never_takes_the_place_of_a_good_one_and_a_corrected_one_waits_again() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    bench.append(&[&visit("a", "")], &[]).await;
    bench.append(&[r#"{"id":"a","url":"javascript:1","startedAt":5}"#], &[]).await;
    assert_eq!(bench.oldest(&account).await.len(), 1);
    assert_eq!(bench.buffer.failed(0, 10, None).await.unwrap().len(), 1);
    bench.append(&[r#"{"id":"b","startedAt":5}"#], &[]).await;
    assert_eq!(bench.append(&[&visit("b", "")], &[]).await.counts, ack(0, 1, 0));
    assert_eq!(bench.oldest(&account).await.len(), 2);
    assert_eq!(bench.buffer.failed(0, 10, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn frames_of_one_commit_are_answered_each_for_itself() {
    let bench = Bench::new().await;
    let read = |texts: &[&str]| Arrival::read(None, texts, &[]);
    let (a, a2, b) = (visit("a", ""), visit("a", r#","endedAt":9"#), visit("b", ""));
    let got = bench
        .buffer
        .append(&source("p1"), &[read(&[&a]), read(&[&a2, &b]), read(&[&b])], 0, NOW)
        .await
        .unwrap();
    let counts: Vec<_> = got.iter().map(|g| g.counts).collect();
    assert_eq!(counts, [ack(1, 0, 0), ack(1, 1, 0), ack(0, 0, 1)]);
    let account = bench.sign_in("1").await;
    let rows = bench.oldest(&account).await;
    assert_eq!(rows.iter().map(|r| r.text.clone()).collect::<Vec<_>>(), [a2, b]);
}

#[tokio::test]
async fn a_record_that_changes_in_flight_is_not_deleted_by_the_old_versions_confirmation() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    bench.append(&[&visit("a", ""), &visit("b", "")], &[]).await;
    let rows = bench.oldest(&account).await;
    let items: Vec<_> = rows.iter().map(item).collect();
    let new = NewBatch { key: "k".into(), body: b"body".to_vec(), items: items.clone() };
    let batch = bench.buffer.begin_batch(account.id, &new, NOW).await.unwrap();
    bench.append(&[&visit("a", r#","endedAt":9"#)], &[]).await;
    let in_flight = bench.buffer.in_flight(account.id).await.unwrap().unwrap();
    assert_eq!((in_flight.key.as_str(), &in_flight.body[..], &in_flight.items), ("k", &b"body"[..], &items));
    let done = Settlement { confirm: items, ..Settlement::default() };
    bench.buffer.settle(Some(batch), &done, NOW).await.unwrap();
    assert!(bench.buffer.in_flight(account.id).await.unwrap().is_none());
    let left = bench.oldest(&account).await;
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].id.as_str(), left[0].seq, left[0].revision), ("a", rows[0].seq, 2));
}

#[tokio::test]
async fn what_was_confirmed_is_not_sent_twice_and_a_changed_one_goes_on_counting() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    bench.append(&[&visit("a", "")], &[]).await;
    let row = bench.oldest(&account).await.remove(0);
    let done = Settlement { confirm: vec![item(&row)], ..Settlement::default() };
    bench.buffer.settle(None, &done, NOW).await.unwrap();
    assert_eq!(bench.append(&[&visit("a", "")], &[]).await.counts, ack(0, 0, 1));
    assert_eq!(bench.append(&[&visit("a", r#","endedAt":9"#)], &[]).await.counts, ack(1, 0, 0));
    let again = bench.oldest(&account).await.remove(0);
    assert!(again.seq > row.seq, "numbers are never handed out again");
    assert_eq!(again.revision, 2);
    // seven days later it is forgotten: the same content is sent once more
    let done = Settlement { confirm: vec![item(&again)], ..Settlement::default() };
    bench.buffer.settle(None, &done, NOW).await.unwrap();
    let latest = visit("a", r#","endedAt":9"#);
    bench.buffer.settle(None, &Settlement::default(), NOW + DELIVERED_FOR_MS).await.unwrap();
    assert_eq!(bench.append(&[&latest], &[]).await.counts, ack(0, 0, 1));
    bench.buffer.settle(None, &Settlement::default(), NOW + DELIVERED_FOR_MS + 1).await.unwrap();
    assert_eq!(bench.append(&[&latest], &[]).await.counts, ack(1, 0, 0));
}

#[tokio::test]
async fn an_identity_is_source_kind_and_id() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    let (visit, aggregate) = (visit("same", ""), r#"{"id":"same","tabId":1,"startTime":1}"#);
    for profile in ["p1", "p2"] {
        let arrival = Arrival::read(None, &[&visit], &[aggregate]);
        let counts = bench.buffer.append(&source(profile), &[arrival], 0, NOW).await.unwrap()[0].counts;
        assert_eq!(counts, ack(2, 0, 0));
    }
    assert_eq!(bench.oldest(&account).await.len(), 4);
}

#[tokio::test]
async fn an_aggregate_is_linked_to_the_latest_visit_of_its_own_source_and_tab_within_its_life() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    let of = |id: &str, tab: u8, at: i64| {
        format!(r#"{{"id":"{id}","url":"http://a/","startedAt":{at},"tabId":{tab}}}"#)
    };
    let visits = [
        of("before", 7, 99),
        of("first", 7, 100),
        of("last", 7, 200),
        of("after", 7, 201),
        of("tab8", 8, 150),
    ];
    bench.append(&visits.each_ref().map(String::as_str), &[]).await;
    let elsewhere = Arrival::read(None, &[&of("elsewhere", 7, 180), &of("only-there", 9, 150)], &[]);
    bench.buffer.append(&source("p2"), &[elsewhere], 0, NOW).await.unwrap();
    let life = |tab: u8, from: i64, to: i64| {
        format!(r#"{{"tabId":{tab},"startTime":{from},"lastActiveTime":{to}}}"#)
    };
    let aggregates = [life(7, 100, 200), life(7, 50, 99), life(7, 300, 400), life(9, 100, 200)];
    bench.append(&[], &aggregates.each_ref().map(String::as_str)).await;
    let rows = bench.oldest(&account).await;
    let links: Vec<_> =
        rows.iter().filter(|r| r.kind == Kind::TabAggregate).map(|r| r.page_visit_id.as_deref()).collect();
    assert_eq!(links, [Some("last"), Some("before"), None, None]);
}

#[tokio::test]
async fn of_a_record_that_is_too_large_its_beginning_and_a_hash_are_kept() {
    use sha2::{Digest, Sha256};
    let bench = Bench::new().await;
    let text = visit("big", &format!(r#","title":"{}""#, "é".repeat(200_000)));
    let got = bench.append(&[&text, &text], &[]).await;
    assert_eq!((got.rejected[0].code, got.counts), (Code::RecordTooLarge, ack(0, 0, 1)));
    let failed = bench.buffer.failed(0, 10, None).await.unwrap();
    let kept: serde_json::Value = serde_json::from_str(&failed[0].text).unwrap();
    let begins = kept["begins"].as_str().unwrap();
    assert!((4_090..=4_096).contains(&begins.len()) && text.starts_with(begins));
    assert_eq!(kept["bytes"], text.len());
    let hash: String = Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(kept["sha256"], hash);
}

#[tokio::test]
async fn set_aside_retried_kept_and_discarded() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    bench.append(&[&visit("a", ""), &visit("b", ""), &visit("c", "")], &[]).await;
    let rows = bench.oldest(&account).await;
    let reason =
        Reason::RejectedByBackend { field: Some("url".into()), message: "no".into(), status: Some(400) };
    let aside = Settlement {
        set_aside: rows[..2].iter().map(|r| (item(r), reason.clone())).collect(),
        ..Settlement::default()
    };
    assert_eq!(bench.buffer.settle(None, &aside, NOW).await.unwrap(), (0, 2));
    assert_eq!(bench.oldest(&account).await.len(), 1);
    assert_eq!(bench.append(&[&visit("a", "")], &[]).await.counts, ack(0, 0, 1));

    let number = bench.buffer.failed(0, 10, Some("rejected_by_backend")).await.unwrap()[0].seq;
    assert_eq!(bench.buffer.retry_failed(&FailedQuery::Numbers(vec![number])).await.unwrap(), 1);
    let waiting = bench.oldest(&account).await;
    assert_eq!(waiting.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["c", "a"], "at the end");
    let again = Settlement { set_aside: vec![(item(&waiting[1]), reason)], ..Settlement::default() };
    bench.buffer.settle(None, &again, NOW + 5).await.unwrap();
    let failed = bench.buffer.failed(0, 10, None).await.unwrap();
    let a = failed.iter().find(|f| f.id == "a").unwrap();
    assert_eq!((a.attempts, a.first_at, a.last_at), (2, NOW, NOW + 5));

    assert_eq!(
        bench.buffer.keep_failed(&FailedQuery::Reason("rejected_by_backend".into())).await.unwrap(),
        2
    );
    let totals = bench.buffer.totals(Some(account.id), NOW).await.unwrap();
    assert_eq!((totals.failed, totals.failed_kept, totals.waiting()), (2, 2, 1));
    // To somebody else they are another's, kept quietly too.
    let totals = bench.buffer.totals(None, NOW).await.unwrap();
    let other = totals.others.iter().find(|other| other.r#ref == account.r#ref).unwrap();
    assert_eq!((other.failed, other.failed_kept), (2, 2));
    assert_eq!(bench.buffer.discard_failed(&FailedQuery::All).await.unwrap(), 2);
    let totals = bench.buffer.totals(Some(account.id), NOW).await.unwrap();
    assert_eq!((totals.failed, totals.failed_kept, totals.waiting()), (0, 0, 1));
    assert!(bench.buffer.failed_by_reason().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_status_says_what_failed_in_the_last_run_and_that_its_numbers_are_known() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    let run = RunRecord {
        started_at: NOW,
        ended_at: Some(NOW + 5),
        batches: 1,
        sent: 6,
        failed: 1,
        outcome: "emptied".to_owned(),
        why: None,
    };
    bench.buffer.add_run(account.id, &run).await.unwrap();
    let status = bench.buffer.status(std::time::Duration::from_secs(300), NOW + 9).await.unwrap().status;
    let last = status.last_sync.unwrap();
    assert_eq!((last.sent, last.failed, status.numbers_unknown), (6, 1, false));
}

#[tokio::test]
async fn nobodys_records_go_under_somebody_elses_account() {
    let bench = Bench::new().await;
    bench.append(&[&visit("before", "")], &[]).await;
    let a = bench.sign_in("a").await;
    bench.append(&[&visit("mine", "")], &[]).await;
    bench.buffer.sign_out().await.unwrap();
    bench.append(&[&visit("between", "")], &[]).await;
    bench.append_as(Some("unknown-ref"), &[&visit("stranger", "")], &[]).await;
    let b = bench.sign_in("b").await;
    bench.append_as(Some(&a.r#ref), &[&visit("late", "")], &[]).await;
    // a's record arrives again while b is signed in, changed: it stays a's
    bench.append(&[&visit("mine", r#","endedAt":9"#)], &[]).await;
    let ids = |rows: Vec<Waiting>| rows.into_iter().map(|r| r.id).collect::<Vec<_>>();
    assert!(bench.oldest(&b).await.is_empty());
    assert_eq!(ids(bench.oldest(&a).await), ["before", "mine", "late"]);
    let totals = bench.buffer.totals(Some(b.id), NOW).await.unwrap();
    assert_eq!((totals.waiting(), totals.unclaimed), (0, 2));
    assert_eq!(
        totals.others,
        [Other {
            r#ref: a.r#ref.clone(),
            email: "a@x".into(),
            backend: "http://b".into(),
            waiting: 3,
            failed: 0,
            failed_kept: 0
        }]
    );
    let a = bench.sign_in("a").await;
    assert_eq!(ids(bench.oldest(&a).await), ["before", "mine", "between", "late"]);
}

#[tokio::test]
async fn what_was_delivered_for_one_never_comes_again_for_another_unless_its_frame_says_so() {
    let bench = Bench::new().await;
    let a = bench.sign_in("a").await;
    let ids = |rows: Vec<Waiting>| rows.into_iter().map(|r| r.id).collect::<Vec<_>>();
    bench.append(&[&visit("one", ""), &visit("two", ""), &visit("three", "")], &[]).await;
    let done =
        Settlement { confirm: bench.oldest(&a).await.iter().map(item).collect(), ..Settlement::default() };
    bench.buffer.settle(None, &done, NOW).await.unwrap();
    bench.buffer.sign_out().await.unwrap();
    // By a client that does not say whose they are: while nobody is signed in, and while somebody else is.
    bench.append(&[&visit("one", r#","endedAt":9"#)], &[]).await;
    let b = bench.sign_in("b").await;
    bench.append(&[&visit("two", r#","endedAt":9"#), &visit("two", r#","endedAt":10"#)], &[]).await;
    bench.append(&[r#"{"id":"three","url":"javascript:1","startedAt":5}"#], &[]).await;
    bench.append(&[&visit("new", "")], &[]).await;
    assert_eq!(ids(bench.oldest(&b).await), ["new"]);
    assert_eq!(ids(bench.oldest(&a).await), ["one", "two"]);
    let totals = bench.buffer.totals(Some(b.id), NOW).await.unwrap();
    assert_eq!((totals.failed, totals.others.len(), totals.others[0].failed), (1, 1, 1));
    bench.append_as(Some(&b.r#ref), &[&visit("three", r#","endedAt":9"#)], &[]).await;
    assert_eq!(ids(bench.oldest(&b).await), ["new", "three"]);
}

#[tokio::test]
async fn an_aggregate_finds_its_visit_also_after_that_was_delivered() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    let of = |id: &str, at: i64| format!(r#"{{"id":"{id}","url":"http://a/","startedAt":{at},"tabId":7}}"#);
    bench.append(&[&of("v1", 100), &of("v2", 200), &of("v9", 900)], &[]).await;
    let visits: Vec<_> = bench.oldest(&account).await.iter().map(item).collect();
    let done = Settlement { confirm: visits, ..Settlement::default() };
    bench.buffer.settle(None, &done, NOW).await.unwrap();
    bench.append(&[], &[r#"{"startTime":50,"tabId":7,"lastActiveTime":500}"#]).await;
    let rows = bench.oldest(&account).await;
    assert_eq!(rows[0].page_visit_id.as_deref(), Some("v2"));
    assert_eq!((rows[0].id.as_str(), rows[0].id_derived), ("agg_50_7", true));
    assert_eq!(rows[0].kind, Kind::TabAggregate);
}

#[tokio::test]
async fn a_batch_is_the_oldest_of_each_kind_within_its_limits() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    let visits: Vec<String> = (0..250).map(|n| visit(&format!("v{n}"), "")).collect();
    let refs: Vec<&str> = visits.iter().map(String::as_str).collect();
    let aggregates: Vec<String> = (0..150).map(|n| format!(r#"{{"startTime":{n},"tabId":{n}}}"#)).collect();
    let aggregate_refs: Vec<&str> = aggregates.iter().map(String::as_str).collect();
    bench.append(&refs, &aggregate_refs).await;
    let rows = bench.oldest(&account).await;
    assert_eq!(rows.len(), 200);
    assert_eq!(rows[0].id, "v0");
    assert!(rows.windows(2).all(|w| w[0].seq < w[1].seq));
    let few = Limits { page_visits: 100, tab_aggregates: 0, bytes: visits[0].len() * 3 };
    assert!(bench.buffer.oldest(account.id, few, &[], NOW).await.unwrap().len() <= 3);
    let skipped = bench.buffer.oldest(account.id, few, &[rows[0].seq], NOW).await.unwrap();
    assert_eq!(skipped[0].id, "v1");
    let totals = bench.buffer.totals(Some(account.id), NOW).await.unwrap();
    assert_eq!((totals.page_visits.records, totals.tab_aggregates.records), (250, 150));
    assert_eq!(totals.oldest_at, Some(NOW));
}

#[tokio::test]
async fn in_order_no_aggregate_comes_before_a_visit_that_was_left_out() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    for n in 0..30 {
        let aggregate = format!(r#"{{"startTime":{n},"tabId":{n}}}"#);
        bench.append(&[&visit(&format!("v{n}"), "")], &[&aggregate]).await;
    }
    for (page_visits, bytes) in [(10, 1 << 20), (0, 1 << 20), (30, 400)] {
        let limits = Limits { page_visits, tab_aggregates: 20, bytes };
        let rows = bench.buffer.oldest_in_order(account.id, limits, &[], NOW).await.unwrap();
        let visits = rows.iter().filter(|row| row.kind == Kind::PageVisit).count();
        assert!(rows.len() - visits <= visits, "{page_visits} {bytes}: {rows:?}");
        assert_eq!(rows.is_empty(), page_visits == 0);
        let all = bench.buffer.oldest(account.id, limits, &[], NOW).await.unwrap();
        assert!(all.len() > rows.len(), "the other order goes on with the other kind");
    }
}

#[tokio::test]
async fn what_is_held_back_waits_and_is_counted() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    bench.append(&[&visit("now", "")], &[]).await;
    let arrival = Arrival::read(None, &[&visit("later", "")], &[]);
    bench.buffer.append(&source("p1"), &[arrival], 60_000, NOW).await.unwrap();
    assert_eq!(bench.oldest(&account).await.len(), 1);
    let totals = bench.buffer.totals(Some(account.id), NOW).await.unwrap();
    assert_eq!((totals.waiting(), totals.held), (2, 1));
    assert_eq!(bench.buffer.totals(Some(account.id), NOW + 60_000).await.unwrap().held, 0);
}

#[tokio::test]
async fn a_row_that_is_not_what_was_stored_is_noticed() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    bench.append(&[&visit("a", "")], &[]).await;
    let other = sqlite(&bench.path()).await;
    sqlx::query("UPDATE record SET text = replace(text, 'http', 'hxxp')").execute(&other).await.unwrap();
    assert!(!bench.oldest(&account).await[0].intact);
}

#[tokio::test]
async fn everything_is_exported_line_by_line() {
    let bench = Bench::new().await;
    bench.append(&[r#"{"id":"bad","startedAt":1}"#, "7"], &[]).await;
    bench.sign_in("1").await;
    let visits: Vec<String> = (0..700).map(|n| visit(&format!("v{n}"), "")).collect();
    let refs: Vec<&str> = visits.iter().map(String::as_str).collect();
    bench.append(&refs, &[]).await;
    let mut reader = bench.buffer.export(None, false);
    let mut lines = Vec::new();
    loop {
        let page = reader.next().await.unwrap();
        if page.is_empty() {
            break;
        }
        lines.extend(page.iter().map(|line| serde_json::to_value(line).unwrap()));
    }
    assert_eq!(lines.len(), 702);
    assert_eq!(lines[0]["state"], "failed");
    assert_eq!(lines[0]["reason"]["code"], "rejected_at_capture");
    assert_eq!(lines[1]["record"], 7);
    assert_eq!(lines[5]["account"]["email"], "1@x");
    assert_eq!(lines[5]["record"]["id"], "v3");
    assert_eq!(bench.buffer.export(None, true).next().await.unwrap().len(), 2);
    assert_eq!(bench.buffer.export(Some("nobody@x"), false).next().await.unwrap().len(), 0);
}

#[tokio::test]
async fn many_open_it_at_once_and_all_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let path = path.clone();
        tasks.spawn(async move {
            let buffer = Buffer::open(&path).await.unwrap();
            for n in 0..10 {
                let arrival = Arrival::read(None, &[&visit(&format!("w{writer}n{n}"), "")], &[]);
                buffer.append(&source(&format!("p{writer}")), &[arrival], 0, NOW).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let buffer = Buffer::open(&path).await.unwrap();
    assert_eq!(buffer.totals(None, NOW).await.unwrap().unclaimed, 80);
}

#[tokio::test]
async fn the_commit_of_another_process_is_noticed() {
    let bench = Bench::new().await;
    let mut watch = bench.buffer.watch().await.unwrap();
    watch.changed().await.unwrap();
    assert!(!watch.changed().await.unwrap());
    bench.append(&[&visit("a", "")], &[]).await;
    assert!(watch.changed().await.unwrap());
    assert!(!watch.changed().await.unwrap());
}

#[tokio::test]
async fn a_watch_wakes_when_another_process_writes_and_misses_nothing_when_it_is_dropped() {
    let bench = Bench::new().await;
    let mut watch = bench.buffer.watch().await.unwrap();
    watch.changed().await.unwrap();
    bench.append(&[&visit("a", "")], &[]).await;
    let bound = std::time::Duration::from_secs(20);
    // Dropped again and again before it is over: the next one knows all the same.
    for _ in 0..3 {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(1), watch.written()).await;
    }
    tokio::time::timeout(bound, watch.written()).await.unwrap();
    assert!(watch.changed().await.unwrap());
}

#[tokio::test]
async fn the_file_is_private_in_wal_mode_and_can_shrink() {
    let bench = Bench::new().await;
    let other = sqlite(&bench.path()).await;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&other).await.unwrap();
    let vacuum: i64 = sqlx::query_scalar("PRAGMA auto_vacuum").fetch_one(&other).await.unwrap();
    assert_eq!((mode.as_str(), vacuum), ("wal", 2));
    bench.append(&[&visit("a", "")], &[]).await;
    #[cfg(unix)]
    for name in ["buffer.db", "buffer.db-wal", "buffer.db-shm", "buffer.db.lock"] {
        use std::os::unix::fs::PermissionsExt;
        let file = bench.dir.path().join("data").join(name);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn something_that_is_no_database_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    std::fs::write(&path, "not a database, but sixteen bytes and more").unwrap();
    let error = Buffer::open(&path).await.unwrap_err();
    assert!(matches!(error, BufferError::Damaged(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a database, but sixteen bytes and more");
}

#[test]
fn an_sqlite_with_the_wal_fault_is_refused() {
    for (version, good) in [("3.51.3", true), ("3.51.2", false), ("3.46.0", false), ("4.0.0", true)] {
        assert_eq!(check_sqlite(version).is_ok(), good, "{version}");
    }
}

async fn sqlite(path: &Path) -> sqlx::SqlitePool {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
}

#[tokio::test]
async fn a_visit_stays_as_an_anchor_until_its_tabs_life_is_over() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    let of = |id: &str, at: i64| format!(r#"{{"id":"{id}","url":"http://a/","startedAt":{at},"tabId":7}}"#);
    let first = r#"{"startTime":90,"tabId":7,"lastActiveTime":300}"#;
    bench.append(&[&of("v1", 100), &of("v2", 200)], &[first]).await;
    let rows = bench.oldest(&account).await;
    assert!(rows.iter().all(|row| row.life == Some(90)), "{rows:?}");
    let done =
        Settlement { confirm: rows.iter().map(item).collect(), keep_anchors: true, ..Settlement::default() };
    bench.buffer.settle(None, &done, NOW).await.unwrap();
    // the tab lives on, and another one gets its number after a restart of the browser
    let (longer, next) = (
        r#"{"startTime":90,"tabId":7,"lastActiveTime":400,"isOpen":false}"#,
        r#"{"startTime":900,"tabId":7,"lastActiveTime":950}"#,
    );
    bench.append(&[], &[longer, next]).await;
    let rows = bench.oldest(&account).await;
    assert_eq!(rows.iter().map(|row| row.life).collect::<Vec<_>>(), [Some(90), Some(900)]);
    let anchor = rows[0].anchor.unwrap();
    assert_eq!(rows[1].anchor, None);
    assert_eq!(bench.buffer.anchors(account.id, &[anchor]).await.unwrap()[0].id, "v2");
    // it goes along in the batch, and comes back as what it is
    let along = BatchItem { seq: -anchor, revision: 0, kind: Kind::PageVisit };
    let new = NewBatch { key: "k".into(), body: b"{}".to_vec(), items: vec![along, item(&rows[0])] };
    let batch = bench.buffer.begin_batch(account.id, &new, NOW).await.unwrap();
    assert_eq!(bench.buffer.in_flight(account.id).await.unwrap().unwrap().items, new.items);
    let done = Settlement { confirm: vec![item(&rows[0])], keep_anchors: true, ..Settlement::default() };
    bench.buffer.settle(Some(batch), &done, NOW).await.unwrap();
    assert!(bench.buffer.anchors(account.id, &[anchor]).await.unwrap().is_empty());
}

/// The tab lives on when somebody else signs in.
#[tokio::test]
async fn what_one_account_saw_in_a_tab_never_goes_along_with_what_another_sends_of_it() {
    for (confirmed, digests_gone) in [(true, false), (true, true), (false, false)] {
        let bench = Bench::new().await;
        let first = bench.sign_in("1").await;
        let tab =
            |until: i64| format!(r#"{{"startTime":90,"tabId":7,"lastActiveTime":{until},"isOpen":false}}"#);
        bench.append(&[r#"{"id":"v1","url":"http://a/","startedAt":100,"tabId":7}"#], &[&tab(300)]).await;
        let rows = bench.oldest(&first).await;
        assert_eq!(rows[1].page_visit_id.as_deref(), Some("v1"));
        if confirmed {
            let confirm = rows.iter().filter(|row| row.kind == Kind::PageVisit).map(item).collect();
            let done = Settlement { confirm, keep_anchors: true, ..Settlement::default() };
            bench.buffer.settle(None, &done, NOW).await.unwrap();
            // Without the anchor's tab being closed: the aggregate of the first still needs it.
            let aggregates = rows.iter().filter(|row| row.kind == Kind::TabAggregate).map(item).collect();
            let done = Settlement { confirm: aggregates, ..Settlement::default() };
            bench.buffer.settle(None, &done, NOW).await.unwrap();
        }
        if digests_gone {
            // With anything that is forgotten; then only the anchor says whose the visit was.
            bench.buffer.forget("nowhere.example").await.unwrap();
        }
        let second = bench.sign_in("2").await;
        bench.append(&[], &[&tab(400), r#"{"startTime":95,"tabId":7,"lastActiveTime":401}"#]).await;
        let of_second = bench.oldest(&second).await;
        assert!(!of_second.is_empty());
        for row in &of_second {
            assert_eq!((row.anchor, row.page_visit_id.as_deref()), (None, None), "confirmed: {confirmed}");
        }
        if confirmed {
            let anchors: Vec<i64> = (1..10).collect();
            assert_eq!(bench.buffer.anchors(second.id, &anchors).await.unwrap(), []);
            let of_first = bench.buffer.anchors(first.id, &anchors).await.unwrap();
            assert_eq!(of_first.len(), 1);
            // A closed tab of the second lets go of nothing of the first.
            let confirm = of_second.iter().map(item).collect();
            let done = Settlement { confirm, keep_anchors: true, ..Settlement::default() };
            bench.buffer.settle(None, &done, NOW).await.unwrap();
            assert_eq!(bench.buffer.anchors(first.id, &anchors).await.unwrap(), of_first);
        }
    }
}

#[tokio::test]
async fn a_batch_in_flight_that_is_not_what_was_stored_is_known_for_it() {
    for damage in [
        "UPDATE batch SET body = CAST(replace(CAST(body AS TEXT), 'site', 'sitf') AS BLOB)",
        "UPDATE batch SET body = x'7b'",
        "UPDATE batch_item SET seq = seq + 1 WHERE position = 0",
        "UPDATE batch_item SET revision = 2 WHERE position = 1",
        "DELETE FROM batch_item WHERE position = 1",
    ] {
        let bench = Bench::new().await;
        let account = bench.sign_in("1").await;
        bench.append(&[&visit("a", ""), &visit("b", ""), &visit("c", "")], &[]).await;
        let items = bench.oldest(&account).await.iter().take(2).map(item).collect();
        let new = NewBatch { key: "k".into(), body: br#"{"batchId":"k","url":"site"}"#.to_vec(), items };
        bench.buffer.begin_batch(account.id, &new, NOW).await.unwrap();
        assert!(bench.buffer.in_flight(account.id).await.unwrap().unwrap().intact);
        let other = sqlite(&bench.path()).await;
        sqlx::query(damage).execute(&other).await.unwrap();
        assert!(!bench.buffer.in_flight(account.id).await.unwrap().unwrap().intact, "{damage}");
        // One of a program without checksums is taken as it is.
        sqlx::query("UPDATE batch SET checksum = NULL").execute(&other).await.unwrap();
        assert!(bench.buffer.in_flight(account.id).await.unwrap().unwrap().intact);
    }
}

#[tokio::test]
async fn an_anchor_that_is_not_what_was_stored_is_forgotten_and_never_sent() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    let visit = r#"{"id":"v1","url":"http://a/","startedAt":100,"tabId":7}"#;
    let tab = r#"{"startTime":90,"tabId":7,"lastActiveTime":300}"#;
    bench.append(&[visit], &[tab]).await;
    let rows = bench.oldest(&account).await;
    let done = Settlement { confirm: vec![item(&rows[0])], keep_anchors: true, ..Settlement::default() };
    bench.buffer.settle(None, &done, NOW).await.unwrap();
    let anchor = bench.oldest(&account).await[0].anchor.unwrap();
    assert_eq!(bench.buffer.anchors(account.id, &[anchor]).await.unwrap()[0].text, visit);
    let other = sqlite(&bench.path()).await;
    sqlx::query("UPDATE anchor SET text = replace(text, 'http', 'hxxp')").execute(&other).await.unwrap();
    assert_eq!(bench.buffer.anchors(account.id, &[anchor]).await.unwrap(), []);
    assert_eq!(bench.oldest(&account).await[0].anchor, None);
}

#[tokio::test]
async fn of_visits_it_is_known_which_wait_and_which_may_be_sent() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    bench.append(&[r#"{"id":"v1","url":"http://a/","startedAt":100}"#], &[]).await;
    let rows = bench.oldest(&account).await;
    let pair = |id: &str| (rows[0].source.clone(), id.to_owned());
    let asked = [pair("v1"), pair("v2"), ("another".to_owned(), "v1".to_owned())].into();
    let waiting = bench.buffer.waiting_visits(account.id, &asked).await.unwrap();
    assert_eq!(waiting, [(pair("v1"), rows[0].seq)].into());
    // One that is held waits, and may not be sent yet.
    let arrival = Arrival::read(None, &[&visit("later", "")], &[]);
    bench.buffer.append(&source("p1"), &[arrival], 60_000, NOW).await.unwrap();
    let asked = [(source("p1").name, "later".to_owned())].into();
    let held = *bench.buffer.waiting_visits(account.id, &asked).await.unwrap().values().next().unwrap();
    let sendable = bench.buffer.sendable(account.id, &[rows[0].seq, held, 99], NOW).await.unwrap();
    assert_eq!(sendable, rows);
}

#[tokio::test]
async fn a_stored_record_is_never_lost_to_a_bad_version_of_itself() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    bench.append(&[&visit("v", "")], &[]).await;
    let row = bench.oldest(&account).await.remove(0);
    let reason = Reason::RejectedByBackend { field: None, message: "no".into(), status: Some(400) };
    let aside = Settlement { set_aside: vec![(item(&row), reason)], ..Settlement::default() };
    bench.buffer.settle(None, &aside, NOW).await.unwrap();
    bench.append(&[r#"{"id":"v","url":"http://a/","startedAt":"soon"}"#], &[]).await;
    let failed = bench.buffer.failed(0, 10, None).await.unwrap();
    assert_eq!(failed.iter().map(|f| f.text == visit("v", "")).collect::<Vec<_>>(), [true, false]);
    // ids that are too long to be ids do not make two records one
    let long =
        |tail: &str| format!(r#"{{"id":"{}{tail}","url":"http://a/","startedAt":1}}"#, "x".repeat(128));
    bench.append(&[&long("1"), &long("2")], &[]).await;
    assert_eq!(bench.buffer.failed(0, 10, None).await.unwrap().len(), 4);
    // and what was never accepted is not sent by "retry all"
    assert_eq!(bench.buffer.retry_failed(&FailedQuery::All).await.unwrap(), 1);
    assert_eq!(bench.oldest(&account).await[0].text, visit("v", ""));
}

#[tokio::test]
async fn held_is_counted_also_behind_a_retried_record_and_an_export_line_is_one_line() {
    let bench = Bench::new().await;
    let account = bench.sign_in("1").await;
    let broken = "{\"id\":\"a\",\n\"url\":\"http://a/\",\r\n\"startedAt\":5}";
    bench.append(&[broken], &[]).await;
    let lines = bench.buffer.export(None, false).next().await.unwrap();
    assert!(!serde_json::to_string(&lines[0]).unwrap().contains('\n'));
    let row = bench.oldest(&account).await.remove(0);
    let aside = Settlement {
        set_aside: vec![(item(&row), Reason::NotConfirmed { attempts: 3 })],
        ..Settlement::default()
    };
    bench.buffer.settle(None, &aside, NOW).await.unwrap();
    let arrival = Arrival::read(None, &[&visit("held", "")], &[]);
    bench.buffer.append(&source("p1"), &[arrival], 60_000, NOW).await.unwrap();
    bench.buffer.retry_failed(&FailedQuery::All).await.unwrap();
    let totals = bench.buffer.totals(Some(account.id), NOW).await.unwrap();
    assert_eq!((totals.waiting(), totals.held), (2, 1));
}
