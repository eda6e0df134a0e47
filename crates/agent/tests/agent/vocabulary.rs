//! What the window and the command line ask besides syncing, asked of a real agent.

use crate::backend::{Mood, backend};
use crate::world::{Running, World};
use heyho_local::socket::Client;
use heyho_local::vocabulary::{
    BackendTest, Companion, Count, Delivered, Event, Fault, FaultCode, Forgotten, Request, Selection,
    Settings, Timeline, WaitingPage, ask,
};
use heyho_records::rules::Rule;
use heyho_records::status::State;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;
use tokio::sync::broadcast;

async fn of<T: DeserializeOwned>(running: &Running, request: Request) -> Result<T, Fault> {
    ask(running.companion.as_ref(), request).await
}

fn forget(domain: &str) -> Request {
    Request::Forget { domain: domain.to_owned(), backend: false }
}

fn list() -> Request {
    Request::WaitingList { after: 0, limit: 10, search: None }
}

#[tokio::test]
async fn what_was_delivered_is_shown_and_forgotten_with_its_site() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["v1", "v2"]).await;
    let running = world.start().await;
    running.login("ada@x", "right password").await.unwrap();
    running.sync().await.unwrap();
    running.until("delivered", |status| status.backlog.records() == 0).await;
    let delivered: Vec<Delivered> = of(&running, Request::Delivered).await.unwrap();
    assert_eq!(delivered.len(), 2);
    assert_eq!(delivered[0].host.as_deref(), Some("a"));
    let day: Timeline = of(&running, Request::Timeline).await.unwrap();
    assert_eq!(day.points.iter().map(|point| point.sent).sum::<u64>(), 2);

    let mut events = running.companion.events().unwrap();
    let other: Forgotten = of(&running, forget("b.example")).await.unwrap();
    assert_eq!((other.waiting, other.failed, other.backend), (0, 0, None));
    assert_eq!(of::<Vec<Delivered>>(&running, Request::Delivered).await.unwrap().len(), 2);
    of::<Forgotten>(&running, forget("*.A.")).await.unwrap();
    assert_eq!(of::<Vec<Delivered>>(&running, Request::Delivered).await.unwrap(), []);
    for site in ["b.example", "a"] {
        let told = loop {
            match events.recv().await.unwrap() {
                Event::Forget { domain } => break domain,
                _ => continue,
            }
        };
        assert_eq!(told, site, "extensions hear of it");
    }
    assert_eq!(of::<Forgotten>(&running, forget("a/b")).await.unwrap_err().code, FaultCode::BadData);
    running.agent.shutdown().await;
}

#[tokio::test]
async fn who_comes_while_a_site_is_forgotten_is_told_and_nobody_answers_for_another() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["v1"]).await;
    let running = world.start().await;
    let host = async |source: &str| {
        let host = Client::connect(&world.paths().socket()).await.unwrap();
        let events = host.events().unwrap();
        host.call(Request::Attach { source: source.to_owned() }).await.unwrap();
        (host, events)
    };
    let forgetting = || {
        let companion = running.companion.clone();
        tokio::spawn(async move { ask::<Forgotten>(companion.as_ref(), forget("a")).await.unwrap() })
    };
    let told = async |events: &mut broadcast::Receiver<Event>| {
        let event = tokio::time::timeout(Duration::from_secs(4), events.recv()).await;
        assert!(matches!(event, Ok(Ok(Event::Forget { domain })) if domain == "a"));
    };
    let heard = Request::Told { domain: "a".to_owned() };
    let (one, mut of_one) = host("ext#q").await;
    let forgotten = forgetting();
    told(&mut of_one).await;
    // The one that is known by a name comes now; the other answers for itself, twice.
    let (other, mut of_other) = host("ext#p").await;
    told(&mut of_other).await;
    for _ in 0..2 {
        one.call(heard.clone()).await.unwrap();
    }
    let forgotten = forgotten.await.unwrap();
    assert_eq!(
        (forgotten.waiting, forgotten.silent, forgotten.closed),
        (1, vec!["Chromium".to_owned()], vec![])
    );
    assert!(forgotten.text.contains("Connected, but without an answer: Chromium."), "{}", forgotten.text);

    let forgotten = forgetting();
    for (host, events) in [(&one, &mut of_one), (&other, &mut of_other)] {
        told(events).await;
        host.call(heard.clone()).await.unwrap();
    }
    let forgotten = forgotten.await.unwrap();
    assert_eq!(forgotten.text, "Nothing about a was kept here.");
    running.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_when_a_site_is_forgotten_is_nowhere_afterwards() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let running = world.start().await;
    running.login("ada@x", "right password").await.unwrap();
    running.until("up to date", |status| status.state == State::UpToDate).await;
    backend.feel(Mood::Slow);
    world.append(&["v1"]).await;
    running.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;

    running.until("seen", |status| status.backlog.records() == 1).await;
    let companion = running.companion.clone();
    let forgotten = tokio::spawn(async move {
        let request = Request::Forget { domain: "a".to_owned(), backend: true };
        ask::<Forgotten>(companion.as_ref(), request).await.unwrap()
    });
    running.until("forgotten here", |status| status.backlog.records() == 0).await;
    let early = tokio::time::timeout(Duration::from_millis(300), backend.delete_asked.notified()).await;
    backend.let_go.notify_one();
    let forgotten = forgotten.await.unwrap();
    assert_eq!((forgotten.waiting, forgotten.backend), (1, Some(1)), "{forgotten:?}");
    assert!(early.is_err(), "it was deleted there before it had arrived");
    assert!(backend.ids("ada@x").is_empty());
    running.until("over", |status| status.state == State::UpToDate).await;
    assert_eq!(of::<Vec<Delivered>>(&running, Request::Delivered).await.unwrap(), []);
    running.agent.shutdown().await;
}

#[tokio::test]
async fn what_is_left_of_a_batch_that_was_discarded_in_part_goes_on_by_itself() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let running = world.start().await;
    running.login("ada@x", "right password").await.unwrap();
    running.until("quiet", |status| status.state == State::UpToDate).await;
    backend.feel(Mood::Fails);
    world.append(&["gone", "stays"]).await;
    running.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;
    let page: WaitingPage = of(&running, list()).await.unwrap();
    let gone = page.records.iter().find(|record| record.id == "gone").unwrap().number;
    let which = Selection::Ids(vec![gone]);
    assert_eq!(of::<Count>(&running, Request::WaitingDiscard { which }).await.unwrap().count, 1);
    running.until("one is left", |status| status.backlog.records() == 1).await;
    backend.feel(Mood::Well);
    running.until("delivered", |status| status.backlog.records() == 0).await;
    assert_eq!(backend.ids("ada@x"), ["stays"]);
    running.agent.shutdown().await;
}

#[tokio::test]
async fn what_waits_is_listed_searched_and_discarded() {
    let world = World::new("http://127.0.0.1:9");
    world.append(&["v1", "v2", "v3"]).await;
    let running = world.start().await;
    let page: WaitingPage = of(&running, list()).await.unwrap();
    assert_eq!((page.total, page.next, page.records.len()), (3, None, 3));
    assert_eq!(page.records[0].url.as_deref(), Some("http://a/v1"));
    let search = Request::WaitingList { after: 0, limit: 10, search: Some("V2".to_owned()) };
    let found: WaitingPage = of(&running, search).await.unwrap();
    assert_eq!(found.records.len(), 1);
    let reason = Request::WaitingDiscard { which: Selection::Reason("x".to_owned()) };
    assert_eq!(of::<Count>(&running, reason).await.unwrap_err().code, FaultCode::Usage);
    let one = Request::WaitingDiscard { which: Selection::Ids(vec![found.records[0].number, 99]) };
    assert_eq!(of::<Count>(&running, one).await.unwrap().count, 1);
    let all = Request::WaitingDiscard { which: Selection::All };
    assert_eq!(of::<Count>(&running, all).await.unwrap().count, 2);
    assert_eq!(of::<WaitingPage>(&running, list()).await.unwrap().total, 0);
    running.agent.shutdown().await;
}

#[tokio::test]
async fn an_account_goes_by_its_ref_and_everything_by_erase() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let running = world.start().await;
    let account = running.login("ada@x", "right password").await.unwrap();
    of::<()>(&running, Request::Pause { seconds: None }).await.unwrap();
    world.append(&["v1", "v2"]).await;
    let nobody = Request::DiscardAccount { account: "bob@x".to_owned() };
    let fault = of::<Count>(&running, nobody).await.unwrap_err();
    assert_eq!(fault.code, FaultCode::NotFound);
    assert!(fault.text.contains("ada@x"), "{fault}");
    let own = Request::DiscardAccount { account: account.r#ref };
    assert_eq!(of::<Count>(&running, own).await.unwrap().count, 2);
    world.append(&["v3"]).await;
    assert_eq!(of::<Count>(&running, Request::Erase).await.unwrap().count, 1);
    assert_eq!(of::<WaitingPage>(&running, list()).await.unwrap().total, 0);
    running.agent.shutdown().await;
}

#[tokio::test]
async fn an_export_is_for_its_owner_and_over_nothing() {
    let world = World::new("http://127.0.0.1:9");
    world.append(&["v1"]).await;
    let running = world.start().await;
    let path = world.dir.path().join("out.ndjson");
    let export = |path: &std::path::Path, force| Request::Export {
        path: path.to_owned(),
        failed: false,
        account: None,
        force,
    };
    assert_eq!(of::<Count>(&running, export(&path, false)).await.unwrap().count, 1);
    let again = of::<Count>(&running, export(&path, false)).await.unwrap_err();
    assert!(again.text.contains("is there already"), "{again}");
    assert_eq!(of::<Count>(&running, export(&path, true)).await.unwrap().count, 1);
    let relative = of::<Count>(&running, export("out.ndjson".as_ref(), false)).await.unwrap_err();
    assert_eq!(relative.code, FaultCode::Usage);
    let left = std::fs::read_dir(world.dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("ndjson"));
    assert_eq!(left.count(), 1, "nothing half-written stays");
    running.agent.shutdown().await;
}

#[tokio::test]
async fn settings_are_checked_before_they_are_written_and_shown_with_what_is_wrong() {
    let world = World::new("http://127.0.0.1:9");
    let running = world.start().await;
    let set = |key: &str, value| Request::ConfigSet { key: key.to_owned(), value };
    let settings: Settings = of(&running, set("sync.interval", json!("90s"))).await.unwrap();
    let interval = settings.settings.iter().find(|s| s.key == "sync.interval").unwrap();
    assert_eq!((&interval.value, interval.set), (&json!("90s"), true));
    let bad = of::<Settings>(&running, set("sync.interval", json!("1s"))).await.unwrap_err();
    assert_eq!(bad.code, FaultCode::Configuration);
    let unknown = of::<Settings>(&running, set("sync.intervall", json!("5m"))).await.unwrap_err();
    assert_eq!(unknown.code, FaultCode::Usage);
    let rule: Rule = serde_json::from_value(
        json!({"id": "r", "match": "host", "pattern": "*.bank.example", "action": "drop"}),
    )
    .unwrap();
    let settings: Settings = of(&running, Request::RulesAdd { rule: rule.clone() }).await.unwrap();
    assert_eq!(settings.rules, std::slice::from_ref(&rule));
    // By hand meanwhile, as whoever looks at an older list does not know.
    let file = world.paths().config_file();
    let by_hand = std::fs::read_to_string(&file).unwrap()
        + "\n# mine\n[[privacy.rules]]\nid = 'r'\nmatch = 'url'\npattern = 'p'\naction = 'strip'\n";
    std::fs::write(&file, by_hand).unwrap();
    let settings: Settings = of(&running, Request::RulesRemove { rule: rule.clone() }).await.unwrap();
    assert_eq!(settings.rules.iter().map(|rule| rule.pattern.as_str()).collect::<Vec<_>>(), ["p"]);
    assert!(std::fs::read_to_string(&file).unwrap().contains("# mine"));
    let gone = of::<Settings>(&running, Request::RulesRemove { rule }).await.unwrap_err();
    assert!(gone.text.contains("*.bank.example"), "{gone}");
    std::fs::write(world.paths().config_file(), "[sync]\ninterval = 5\n").unwrap();
    let settings: Settings = of(&running, Request::ConfigGet).await.unwrap();
    assert_eq!(settings.problem.unwrap().key.as_deref(), Some("sync.interval"));
    running.agent.shutdown().await;
}

/// A mistake in the file may wait until it is mended: it puts no default in the place of what holds. And whoever goes
/// by settings hears of a change.
#[tokio::test(flavor = "multi_thread")]
async fn another_setting_is_changed_beside_a_mistake_and_what_held_still_holds() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let running = world.start().await;
    running.login("ada@x", "right password").await.unwrap();
    running.until("up to date", |s| s.state == State::UpToDate).await;
    let mut events = running.companion.events().unwrap();
    let file = world.paths().config_file();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, "[backend]\nurl = \"htp://mistyped\"\n").unwrap();
    let set = Request::ConfigSet { key: "window.notifications".to_owned(), value: json!(false) };
    let settings: Settings = of(&running, set).await.unwrap();
    assert_eq!(settings.problem.unwrap().key.as_deref(), Some("backend.url"));
    while !matches!(events.recv().await.unwrap(), Event::Settings) {}
    world.append(&["a"]).await;
    assert_eq!(running.sync().await.unwrap().fault, None);
    running.until("delivered", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    running.agent.shutdown().await;
}

#[tokio::test]
async fn an_address_is_tried_before_it_is_used() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let running = world.start().await;
    let test = |url: &str| Request::BackendTest { url: url.to_owned() };
    let good: BackendTest = of(&running, test(&url)).await.unwrap();
    assert!(good.ok, "{good:?}");
    for (address, words) in [
        ("http://127.0.0.1:9", "Nothing listens"),
        ("nonsense", "nonsense"),
        ("http://example.com", "allow_http"),
    ] {
        let bad: BackendTest = of(&running, test(address)).await.unwrap();
        assert!(!bad.ok && bad.text.contains(words), "{bad:?}");
    }
    running.agent.shutdown().await;
}

#[tokio::test]
async fn diagnostics_say_nothing_of_who_or_where() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let running = world.start().await;
    running.login("ada@canary.example", "right password").await.unwrap();
    world.append(&["canary-record"]).await;
    of::<Settings>(
        &running,
        Request::ConfigSet { key: "backend.proxy".into(), value: json!("http://canary-proxy:1") },
    )
    .await
    .unwrap();
    let text: String = of(&running, Request::Diagnostics).await.unwrap();
    for word in ["state: ", "waiting: ", "database: ", "rules: 0", "backend.proxy (set)"] {
        assert!(text.contains(word), "{text}");
    }
    let tokens = std::fs::read_to_string(world.paths().token_file()).unwrap();
    let token = serde_json::from_str::<serde_json::Value>(&tokens).unwrap()["access_token"].to_string();
    for word in ["canary", "ada@", "http", token.trim_matches('"')] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    running.agent.shutdown().await;
}
