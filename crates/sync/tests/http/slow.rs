//! The same faults as in [`crate::whole`], a byte at a time: every status × body, saved or not, once and for as long as a
//! run lasts. Many at once, each a backend of its own behind one address: which it is, the key says.

use crate::server::read_request;
use crate::whole::{BODIES, Backend, Client, Fault, STATUSES, config, for_a_run, once};
use heyho_sync::driver::{Driver, Timeouts};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Each has a socket at both ends.
const AT_ONCE: usize = 140;
/// In which no answer is whole.
const HASTE: Duration = Duration::from_millis(700);

#[derive(Clone, Default)]
struct Backends(Arc<Mutex<BTreeMap<String, Backend>>>);

impl Backends {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let backends = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let backends = backends.clone();
                tokio::spawn(async move { backends.serve(stream).await });
            }
        });
        url
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(request) = read_request(&mut stream).await else { return };
        // What is asked besides batches has no key, and is answered by each in the same way.
        let key = request.header("idempotency-key").unwrap_or_default();
        let backend = self.of(key.split('-').next().unwrap());
        backend.give(stream, &request).await;
    }

    fn of(&self, name: &str) -> Backend {
        self.0.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }
}

/// Every fault of these, each a case of its own; how many there were.
async fn all(commits: &[bool], stays: bool) -> usize {
    let backends = Backends::default();
    let config = config(&backends.start().await);
    let hasty = Driver::with_timeouts(&config, Timeouts { request: HASTE, ..Timeouts::default() }).unwrap();
    let client = Arc::new(Client { patient: Driver::new(&config).unwrap(), hasty });
    let (few, mut cases) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for status in STATUSES {
        for body in BODIES {
            for commits in commits.iter().copied() {
                let fault = Fault { status, body, sent: 100, commits, slow: true, stays };
                let name = format!("{}", cases.len());
                let (backend, client, few) = (backends.of(&name), client.clone(), few.clone());
                cases.spawn(async move {
                    let _one_of_few = few.acquire().await.unwrap();
                    match stays {
                        false => once(&name, &backend, &client, &fault).await,
                        true => for_a_run(&name, &backend, &client, &fault, TOO_LONG).await,
                    }
                });
            }
        }
    }
    cases.join_all().await.len()
}

const TOO_LONG: &str = "The backend took too long to answer.";

#[tokio::test]
async fn an_answer_that_comes_a_byte_at_a_time_is_no_answer_and_loses_nothing() {
    assert_eq!(all(&[false, true], false).await, 31 * 9 * 2);
}

#[tokio::test]
async fn answers_that_all_come_a_byte_at_a_time_are_said_to_and_cost_nothing() {
    assert_eq!(all(&[true], true).await, 31 * 9);
}
