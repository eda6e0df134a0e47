//! Accounts that change at random moments: no row ever goes to another account than the one it was captured
//! under. The ledger is the test's own: an id says whose it is. `HEYHO_SWITCHES`, `HEYHO_SEED`.

use crate::backend::backend;
use crate::world::{World, login};
use heyho_buffer::{Arrival, Buffer, SignedIn, Source};
use heyho_local::clock;
use heyho_local::vocabulary::{Request, ask};
use heyho_records::status::{Account, State};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const USERS: [&str; 3] = ["a@x", "b@x", "c@x"];

fn knob(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

/// Small numbers that look random and come again with the seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_accounts_change_no_row_crosses_and_none_is_lost() {
    let (switches, mut dice) = (knob("HEYHO_SWITCHES", 1_000), Dice(knob("HEYHO_SEED", 1)));
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    let buffer = Buffer::open(&world.paths().buffer()).await.unwrap();
    let source = Source {
        name: "ext#p".into(),
        profile_id: "p".into(),
        browser: "Chromium".into(),
        client: String::new(),
    };
    let reference = |user: &str| {
        let (backend, user) = (url.clone(), user.to_owned());
        SignedIn { backend, user_id: user.clone(), email: user, claim_others: false }.account_ref()
    };
    let mut ledger: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut user = USERS[0];
    agent.login(user, "right password").await.unwrap();
    for n in 0..switches {
        // Now and then more than one batch, so that a run is also met between two.
        let records = if dice.throw(8) == 0 { 250 } else { 1 + dice.throw(4) };
        let ids: Vec<String> = (0..records).map(|i| format!("{user}-{n}-{i}")).collect();
        let texts: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"id":"{id}","url":"http://a/{id}","startedAt":1700000000000}}"#))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let arrival = Arrival::read(Some(reference(user)), &texts, &[]);
        buffer.append(&source, &[arrival], 0, clock::system().now_ms()).await.unwrap();
        ledger.entry(user).or_default().extend(ids);
        if dice.throw(4) > 0 {
            agent.companion.call(Request::Sync { wait: false }).await.unwrap();
        }
        // The moment: anywhere between taking a batch and settling it.
        tokio::time::sleep(Duration::from_micros(dice.throw(6_000))).await;
        if dice.throw(10) == 0 {
            agent.companion.call(Request::Logout).await.unwrap();
        }
        user = USERS[dice.throw(3) as usize];
        ask::<Account>(agent.companion.as_ref(), Request::Login(login(user, "right password")))
            .await
            .unwrap();
    }
    for user in USERS {
        agent.login(user, "right password").await.unwrap();
        // The status that was published last may be of before the last records.
        agent.sync().await.unwrap();
        agent.until("delivered", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    }
    for user in USERS {
        let held: BTreeSet<String> = backend.ids(user).into_iter().collect();
        let own = ledger.remove(user).unwrap_or_default();
        let across: Vec<&String> = held.iter().filter(|id| !id.starts_with(user)).collect();
        assert!(across.is_empty(), "{across:?} went to {user}");
        assert_eq!(held, own, "of {user}");
    }
    println!("figures: {switches} switches, 0 rows across");
    agent.agent.shutdown().await;
}
