//! Where things lie on this computer is for the log and the terminal: the window is told none of it, whatever it asks
//! and whatever goes wrong.

use crate::backend::{Mood, backend};
use crate::world::World;
use heyho_agent::start_and_stay;
use heyho_local::vocabulary::{Companion, Request, Selection};
use heyho_records::rules::{Action, Match, Rule};
use heyho_records::status::State;
use serde_json::json;
use std::path::Path;

/// Asks, and gives what the window would read: the answer or the fault.
async fn said(companion: &dyn Companion, request: Request) -> String {
    let word = request.word();
    let answer = match companion.call(request).await {
        Ok(answer) => answer.to_string(),
        Err(fault) => serde_json::to_string(&fault).unwrap(),
    };
    format!("{word}: {answer}")
}

fn names_no_place(said: &[String], dir: &Path) {
    let dir = dir.to_str().unwrap();
    let names = |text: &&String| text.contains(dir) || text.contains("/no/such");
    assert_eq!(said.iter().filter(names).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_answered_says_where_it_lies() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a", "b"]).await;
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    backend.feel(Mood::Fails);
    world.append(&["c"]).await;
    let there = world.dir.path().join("there.ndjson");
    std::fs::write(&there, "mine").unwrap();
    let export = |path: &str| Request::Export {
        path: world.dir.path().join(path),
        failed: false,
        account: None,
        force: false,
    };
    let set = |key: &str, value| Request::ConfigSet { key: key.to_owned(), value };
    let rule =
        Rule { id: String::new(), r#match: Match::Host, pattern: "a".to_owned(), action: Action::Drop };
    let companion = agent.companion.as_ref();
    let mut all = Vec::new();
    for request in [
        Request::Status,
        Request::Sync { wait: false },
        Request::History { limit: 10 },
        Request::Timeline,
        Request::Delivered,
        Request::WaitingList { after: 0, limit: 10, search: None },
        Request::WaitingDiscard { which: Selection::Reason("none".to_owned()) },
        Request::FailedList { after: 0, limit: 10, reason: None },
        Request::FailedShow { number: 99 },
        Request::ConfigGet,
        set("sync.interval", json!("often")),
        set("sync.intervall", json!("5m")),
        Request::RulesAdd { rule: rule.clone() },
        Request::RulesRemove { rule },
        export("there.ndjson"),
        export("none/out.ndjson"),
        export("data"),
        Request::DiscardAccount { account: "nobody".to_owned() },
        Request::Forget { domain: "a/b".to_owned(), backend: false },
        Request::BackendTest { url: "http://127.0.0.1:1".to_owned() },
        Request::Diagnostics,
        Request::Open,
    ] {
        all.push(said(companion, request).await);
    }
    // A file with a mistake, and one that is a folder.
    let file = world.paths().config_file();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "[sync]\ninterval = 'often'\n").unwrap();
    all.push(said(companion, Request::ConfigGet).await);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    all.push(said(companion, Request::ConfigGet).await);
    all.push(said(companion, set("sync.interval", json!("5m"))).await);
    std::fs::remove_dir(&file).unwrap();
    assert!(all.iter().filter(|text| text.contains("config.toml")).count() >= 5, "{all:#?}");
    names_no_place(&all, world.dir.path());

    std::fs::write(&file, format!("[backend]\nurl = '{url}'\n[tokens]\nstore = 'file'\n")).unwrap();
    companion.call(set("backend.ca_file", json!("/no/such/ca.pem"))).await.unwrap();
    let status = agent.until("not accepted", |s| s.reason_code.as_deref() == Some("configuration")).await;
    assert!(status.reason.as_ref().unwrap().contains("ca.pem"), "{status:?}");
    let tested = said(companion, Request::BackendTest { url }).await;
    names_no_place(&[serde_json::to_string(&status).unwrap(), tested], world.dir.path());
    agent.agent.shutdown().await;
}

/// The two whose sentences name a path where there is a terminal.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_does_not_work_says_it_without_a_path() {
    let (_backend, url) = backend().await;
    for cause in ["socket", "lock"] {
        let world = World::new(&url);
        let mut options = world.options();
        match cause {
            "socket" => options.paths.runtime = world.dir.path().join("long/".repeat(40)),
            _ => std::fs::write(world.paths().data, "a file in the way").unwrap(),
        }
        let stayed = start_and_stay(options);
        let mut watch = stayed.companion.watch();
        let status = watch.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert_eq!((status.state, &status.reason_args["cause"]), (State::BufferProblem, &json!(cause)));
        let refused = said(stayed.companion.as_ref(), Request::ConfigGet).await;
        names_no_place(&[serde_json::to_string(&status).unwrap(), refused], world.dir.path());
        stayed.shutdown().await;
    }
}
