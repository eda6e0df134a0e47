//! No token, password or record reaches a log, at any level; and the search that says so would find one.

use crate::server::{Server, json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use heyho_sync::auth_http::Asked;
use heyho_sync::base_url::BaseUrl;
use heyho_sync::driver::{Driver, DriverConfig, ProxySetting};
use heyho_sync::secret::Secret;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

const CANARIES: [&str; 4] =
    ["canary-access-7f3a", "canary-refresh-91bc", "canary-password-44de", "canary-record-0a55"];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// The canaries found in these bytes: plain, in base64, and as UTF-16.
fn found(bytes: &[u8]) -> Vec<&'static str> {
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let in_base64 = |canary: &str| {
        // The three ways a text can lie in base64, without the ends that depend on its neighbours.
        (0..3).any(|shift| {
            let padded = [&vec![b'x'; shift], canary.as_bytes()].concat();
            let encoded = STANDARD.encode(padded);
            holds(&encoded.as_bytes()[4..encoded.len() - 4])
        })
    };
    let utf_16 = |canary: &str| canary.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    CANARIES
        .into_iter()
        .filter(|canary| holds(canary.as_bytes()) || in_base64(canary) || holds(&utf_16(canary)))
        .collect()
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for canary in CANARIES {
        let quoted = format!("Authorization: Bearer {canary}\"");
        assert_eq!(found(quoted.as_bytes()), [canary]);
        assert_eq!(found(STANDARD.encode(&quoted).as_bytes()), [canary]);
        let wide: Vec<u8> = quoted.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(found(&wide), [canary]);
    }
    assert!(found(b"nothing of the kind").is_empty());
}

#[tokio::test]
async fn nothing_secret_is_logged_at_any_level() {
    let log = Log::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).init();
    let [access, refresh, password, record] = CANARIES;
    let session = format!(
        r#"{{"data":{{"access_token":"{access}","refresh_token":"{refresh}","user":{{"id":"1","email":"a@b"}}}}}}"#
    );
    let server = Server::start(vec![
        json(200, &session),
        json(200, &session),
        json(200, "{}"),
        json(500, &format!("{{\"error\":\"{record}\"}}")),
        json(401, "{}"),
    ])
    .await;
    let driver = Driver::new(&DriverConfig {
        base_url: BaseUrl::parse(&server.url, false).unwrap(),
        ca_file: None,
        proxy: ProxySetting::Off,
        device_id: "device-1".into(),
        user_agent: "heyho-companion/test".into(),
    })
    .unwrap();
    let session = driver.login("a@b", &Secret::new(password)).await.unwrap();
    driver.refresh(&Secret::new(refresh), Asked::Early).await.unwrap();
    let body = format!(r#"{{"pageVisits":[{{"url":"https://{record}.example"}}]}}"#).into_bytes();
    let token = &session.access_token;
    driver.sync(body.clone(), "key", token, false).await.unwrap();
    driver.sync(body, "key", token, true).await.unwrap();
    driver.check(token).await.unwrap();
    assert_eq!(server.seen(), 5);

    let shown = format!("{session:?} {driver:?}");
    assert_eq!(found(shown.as_bytes()), Vec::<&str>::new());
    let log = log.0.lock().unwrap();
    assert!(log.len() > 1_000, "the log was written");
    assert!(String::from_utf8_lossy(&log).contains("/api/v1/data/sync"));
    assert_eq!(found(&log), Vec::<&str>::new());
}
