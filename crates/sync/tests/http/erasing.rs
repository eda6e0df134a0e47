//! Having a backend delete a site: what each end of it is.

use crate::server::{Act, Server, json, status};
use crate::whole::config;
use heyho_sync::answer::TransportError;
use heyho_sync::driver::{Driver, Timeouts};
use heyho_sync::erase::Erasure;
use heyho_sync::secret::Secret;
use heyho_sync::why::Why;
use std::time::Duration;

const OFFERS: &str = r#"{"protocol":1,"features":["data.sync","browsing_data.delete"],"limits":{}}"#;

async fn erases(acts: Vec<Act>) -> Erasure {
    let server = Server::start(acts).await;
    let timeouts = Timeouts { request: Duration::from_secs(1), ..Timeouts::default() };
    let driver = Driver::with_timeouts(&config(&server.url), timeouts).unwrap();
    driver.erase_site("a.example", &Secret::new("t")).await
}

/// A backend goes on deleting when nobody waits for it any longer.
#[tokio::test]
async fn what_may_still_be_done_is_not_said_to_be_left_undone() {
    let done = json(200, r#"{"success":true,"data":{"deleted":3}}"#);
    assert_eq!(erases(vec![json(200, OFFERS), done]).await, Erasure::Done(3));
    for (act, why) in [
        (Act::Silence, Why::NoAnswer { error: TransportError::AnswerTimeout }),
        (Act::Raw("HTTP/1.1 200 OK\r\n".into()), Why::NoAnswer { error: TransportError::ConnectionLost }),
        (status(504), Why::ServerError { status: 504 }),
        // It deletes in parts, and one of them failed.
        (status(500), Why::ServerError { status: 500 }),
    ] {
        assert_eq!(erases(vec![json(200, OFFERS), act.clone(), act]).await, Erasure::Unknown(why));
    }
    let refused = json(403, "{}");
    assert_eq!(erases(vec![json(200, OFFERS), refused]).await, Erasure::Failed(Why::Forbidden));
    // It was not even asked.
    let down = Why::ServerError { status: 504 };
    assert_eq!(erases(vec![status(504), status(504), status(504)]).await, Erasure::Failed(down));
}
