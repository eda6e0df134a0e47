//! What people see of what waits: pages, a search, deleting before it is sent; the day's timeline; and whose the
//! unclaimed become when the user says so.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod support;

use heyho_buffer::*;
use heyho_records::reason::Reason;
use support::*;

const QUARTER: i64 = 15 * 60_000;

async fn bench() -> (tempfile::TempDir, Buffer) {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    (dir, buffer)
}

fn titled(id: &str, title: &str) -> String {
    visit(id, &format!(r#","title":"{title}""#))
}

#[tokio::test]
async fn what_waits_is_listed_page_by_page_and_searched_by_title_and_address() {
    let (_dir, buffer) = bench().await;
    append(&buffer, &[titled("before", "Nobody's"), r#"{"id":"bad"}"#.to_owned()]).await.unwrap();
    buffer.sign_in(&who("1"), NOW).await.unwrap();
    let visits: Vec<String> = (0..30).map(|n| titled(&format!("v{n}"), &format!("Title {n}"))).collect();
    append(&buffer, &visits).await.unwrap();
    let later = Arrival::read(None, &[&titled("held", "Held")], &[]);
    buffer.append(&source("p1"), &[later], 60_000, NOW).await.unwrap();

    let first = buffer.waiting_page(0, 20, None, NOW).await.unwrap();
    assert_eq!((first.rows.len(), first.total), (20, 32));
    assert_eq!(first.rows[0].id, "before");
    assert_eq!(first.rows[1].email.as_deref(), Some("1@x"), "claimed by the first to sign in");
    assert!(first.rows.iter().all(|row| row.own));
    assert_eq!(first.rows[1].glance.host.as_deref(), Some("a.example"));
    let rest = buffer.waiting_page(first.next.unwrap(), 20, None, NOW).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (12, None));
    assert_eq!(rest.rows[11].held_until, Some(NOW + 60_000));
    assert_eq!(rest.rows[10].held_until, None);

    let found = buffer.waiting_page(0, 20, Some("TITLE a.example/v7"), NOW).await.unwrap();
    assert_eq!(found.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["v7"]);
    assert_eq!((found.next, found.total), (None, 32));
    assert!(buffer.waiting_page(0, 20, Some("nowhere"), NOW).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn all_that_waits_is_discarded_over_several_transactions_and_what_failed_stays() {
    let (_dir, buffer) = bench().await;
    buffer.sign_in(&who("1"), NOW).await.unwrap();
    let visits: Vec<String> = (0..2_300).map(|n| visit(&format!("v{n}"), "")).collect();
    append(&buffer, &visits).await.unwrap();
    append(&buffer, &[r#"{"id":"bad"}"#.to_owned()]).await.unwrap();
    assert_eq!(buffer.discard_all_waiting().await.unwrap(), 2_300);
    assert!(buffer.waiting_page(0, 20, None, NOW).await.unwrap().rows.is_empty());
    assert_eq!(buffer.failed(0, 20, None).await.unwrap().len(), 1);
    assert!(!buffer.owes_erasing().await.unwrap(), "nothing is left of them");
    assert_eq!(buffer.discard_all_waiting().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_discarded_before_it_was_sent_is_gone_and_its_batch_is_made_anew() {
    let (_dir, buffer) = bench().await;
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    append(&buffer, &[visit("a", ""), visit("b", ""), visit("c", "")]).await.unwrap();
    let rows = oldest(&buffer, &account).await;
    let items = confirm(&rows).confirm;
    let reason = Reason::NotConfirmed { attempts: 3 };
    let aside = Settlement { set_aside: vec![(items[2], reason)], ..Settlement::default() };
    buffer.settle(None, &aside, NOW).await.unwrap();
    let new = NewBatch { key: "k".into(), body: b"a and b".to_vec(), items: items[..2].to_vec() };
    let batch = buffer.begin_batch(account.id, &new, NOW).await.unwrap();
    assert!(buffer.is_in_flight(batch).await.unwrap());
    // A failed record's number is not touched by this; nor is one that is not there.
    let numbers = rows.iter().map(|row| row.seq).filter(|seq| *seq != rows[1].seq).chain([99]);
    assert_eq!(buffer.discard_waiting(&numbers.collect::<Vec<_>>()).await.unwrap(), 1);
    assert!(buffer.in_flight(account.id).await.unwrap().is_none());
    assert!(!buffer.is_in_flight(batch).await.unwrap(), "whoever has it in memory can ask");
    assert_eq!(oldest(&buffer, &account).await.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(export(&buffer).await.len(), 2, "and the failed one");
    // The answer to the abandoned batch comes all the same.
    buffer.settle(Some(batch), &confirm(&rows[..2]), NOW).await.unwrap();
    assert!(oldest(&buffer, &account).await.is_empty());
}

#[tokio::test]
async fn the_timeline_has_every_quarter_hour_from_the_first_that_is_known() {
    let (_dir, buffer) = bench().await;
    let start = NOW.div_euclid(QUARTER) * QUARTER;
    assert!(buffer.timeline(start, start + QUARTER).await.unwrap().is_empty());
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    let arrival = |id: &str| [Arrival::read(None, &[&visit(id, "")], &[])];
    buffer.append(&source("p"), &arrival("a"), 0, start).await.unwrap();
    buffer.append(&source("p"), &arrival("b"), 0, start + 1).await.unwrap();
    let rows = buffer
        .oldest(account.id, Limits { page_visits: 1, tab_aggregates: 0, bytes: 1 << 20 }, &[], NOW)
        .await
        .unwrap();
    buffer.settle(None, &confirm(&rows), start + 3 * QUARTER).await.unwrap();
    let now = start + 5 * QUARTER + 7;
    let points = |points: Vec<Point>| {
        points.iter().map(|p| ((p.at - start) / QUARTER, p.waiting, p.sent)).collect::<Vec<_>>()
    };
    let whole = [(1, 2, 0), (2, 2, 0), (3, 2, 0), (4, 1, 1), (5, 1, 0), (5, 1, 0)];
    assert_eq!(points(buffer.timeline(start - 9 * QUARTER, now).await.unwrap()), whole);
    assert_eq!(points(buffer.timeline(start + 2 * QUARTER, now).await.unwrap()), whole[2..]);
    assert_eq!(buffer.timeline(start, now).await.unwrap().last().unwrap().at, now);
    // What the user deletes is noted by a sample; what is old goes.
    let left = oldest(&buffer, &account).await;
    buffer.discard_waiting(&[left[0].seq]).await.unwrap();
    buffer.sample(now).await.unwrap();
    assert_eq!(buffer.timeline(start, now).await.unwrap().last().unwrap().waiting, 0);
    buffer.sample(now + 48 * 4 * QUARTER).await.unwrap();
    assert_eq!(buffer.timeline(0, now).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_unclaimed_become_whose_the_user_says_but_never_those_of_an_unknown_account() {
    let (_dir, buffer) = bench().await;
    buffer.sign_in(&who("1"), NOW).await.unwrap();
    buffer.sign_out().await.unwrap();
    append(&buffer, &[visit("between", "")]).await.unwrap();
    let stranger = Arrival::read(Some("unknown".into()), &[&visit("stranger", "")], &[]);
    let later = Arrival::read(Some(who("3").account_ref()), &[&visit("of-3", "")], &[]);
    buffer.append(&source("p1"), &[stranger, later], 0, NOW).await.unwrap();
    let two = buffer.sign_in(&who("2"), NOW).await.unwrap().0;
    assert!(oldest(&buffer, &two).await.is_empty());
    assert_eq!(buffer.claim(two.id).await.unwrap(), 1);
    assert_eq!(oldest(&buffer, &two).await.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["between"]);
    let (three, claimed) = buffer.sign_in(&SignedIn { claim_others: true, ..who("3") }, NOW).await.unwrap();
    assert_eq!(claimed, 1);
    assert_eq!(oldest(&buffer, &three).await.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["of-3"]);
    assert_eq!(buffer.totals(Some(three.id), NOW).await.unwrap().unclaimed, 1);
    let emails: Vec<String> = buffer.accounts().await.unwrap().into_iter().map(|a| a.email).collect();
    assert_eq!(emails, ["1@x", "2@x", "3@x"]);
}

#[tokio::test]
async fn after_a_discarded_account_what_was_captured_after_its_sign_out_can_still_be_claimed() {
    let (_dir, buffer) = bench().await;
    let one = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    buffer.sign_out().await.unwrap();
    append(&buffer, &[visit("between", "")]).await.unwrap();
    let two = buffer.sign_in(&who("2"), NOW).await.unwrap().0;
    buffer.discard_account(&one.r#ref).await.unwrap();
    assert_eq!(buffer.accounts().await.unwrap()[0], two);
    assert_eq!(buffer.accounts().await.unwrap().len(), 1);
    assert_eq!(buffer.claim(two.id).await.unwrap(), 1);
}

#[tokio::test]
async fn one_address_at_two_backends_is_two_accounts_and_a_row_says_which() {
    let (_dir, buffer) = bench().await;
    buffer.sign_in(&who("1"), NOW).await.unwrap();
    append(&buffer, &[visit("here", ""), r#"{"id":"bad"}"#.to_owned()]).await.unwrap();
    buffer.sign_out().await.unwrap();
    let of = async || {
        let waiting = buffer.waiting_page(0, 20, None, NOW).await.unwrap().rows.into_iter();
        let failed = buffer.failed(0, 20, None).await.unwrap().into_iter();
        let owned: Vec<(Option<String>, bool)> = waiting.map(|row| (row.email, row.own)).collect();
        (owned, failed.map(|row| (row.email, row.own)).collect::<Vec<_>>())
    };
    let row = |own| (Some("1@x".to_owned()), own);
    assert_eq!(of().await, (vec![row(false)], vec![row(false)]), "nobody is signed in");
    buffer.sign_in(&SignedIn { backend: "http://c".into(), ..who("1") }, NOW).await.unwrap();
    append(&buffer, &[visit("there", "")]).await.unwrap();
    assert_eq!(of().await, (vec![row(false), row(true)], vec![row(false)]));
    buffer.sign_in(&who("1"), NOW).await.unwrap();
    assert_eq!(of().await, (vec![row(true), row(false)], vec![row(true)]));
}
