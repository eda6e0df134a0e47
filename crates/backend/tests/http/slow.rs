//! Clients at one byte a second: they hold a connection, nothing else, and only until the deadline.

use crate::support::{Backend, START, on_each_store, visit};
use heyho_backend::Config;
use heyho_backend::limits::USER_ANSWERS;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// So many at once, of each kind a fourth.
const CONNECTIONS: usize = 500;
const DEADLINE: Duration = Duration::from_secs(20);
/// By then a connection is closed, or never.
const NEVER: Duration = Duration::from_secs(60);
/// Readers of one user. Their turns in the database are over before their answers are taken.
const EACH: usize = 4;

/// What a client is slow with.
#[derive(Debug, Clone, Copy)]
enum Slow {
    /// It connects and says nothing.
    Silent,
    Head,
    Body,
    Reader,
}

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    /// It was told why, then closed.
    Told(String),
}

on_each_store!(
    five_hundred_clients_at_a_byte_a_second_are_closed_and_hold_nobody_up,
    a_user_has_so_many_answers_that_are_not_taken,
);

async fn five_hundred_clients_at_a_byte_a_second_are_closed_and_hold_nobody_up(mut backend: Backend) {
    let deadlines = |config: &mut Config| {
        config.limits.header_deadline = DEADLINE;
        config.limits.body_deadline = DEADLINE;
        config.limits.answer_deadline = DEADLINE;
    };
    backend.reconfigure(deadlines).await;
    let large = a_large_page();
    let ada = backend.register("ada@example.org").await;
    let mut readers = Vec::new();
    for n in 0..CONNECTIONS / 4 / EACH + 1 {
        let reader = backend.register(&format!("reader-{n}@example.org")).await;
        backend.sync(&reader.access, json!(large), json!([])).await.ok();
        readers.push(reader.access);
    }

    let (opened, ended) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let crawling = futures_util::future::join_all((0..CONNECTIONS).map(|n| {
        let (opened, ended) = (opened.clone(), ended.clone());
        let kind = [Slow::Silent, Slow::Head, Slow::Body, Slow::Reader][n % 4];
        let (address, token) = (backend.address(), readers[n / 4 / EACH].clone());
        tokio::spawn(async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            let stream = socket.connect(address).await.unwrap();
            opened.add_permits(1);
            let end = tokio::time::timeout(NEVER, crawl(kind, stream, &token)).await;
            ended.fetch_add(1, Ordering::SeqCst);
            (kind, end.unwrap_or_else(|_| panic!("a connection slow with its {kind:?} was not closed")))
        })
    }));
    // while they crawl, all of them, others are served
    let served = async {
        drop(opened.acquire_many(CONNECTIONS as u32).await.unwrap());
        for n in 0..20 {
            let mut record = visit(&format!("other-{n}"));
            record["visited_at"] = json!(START + n);
            backend.sync(&ada.access, json!([record]), json!([])).await.ok();
        }
        assert_eq!(ended.load(Ordering::SeqCst), 0, "others were served only after slow ones were gone");
    };
    let (ends, ()) = tokio::join!(crawling, served);
    for end in ends {
        match end.unwrap() {
            (Slow::Body, End::Told(why)) => {
                assert!(why.starts_with("HTTP/1.1 408") && why.contains("REQUEST_TIMEOUT"), "{why}");
                assert!(why.contains("connection: close"), "{why}");
            }
            (Slow::Body, End::Closed) => panic!("a body that came too slowly was not told so"),
            (_, end) => assert_eq!(end, End::Closed),
        }
    }
}

/// Larger than what the system holds for a connection.
fn a_large_page() -> Vec<Value> {
    let large = |n| {
        let mut record = visit(&format!("v{n}"));
        record["title"] = json!("x".repeat(40_000));
        record
    };
    (0..25).map(large).collect()
}

/// Sends or reads a byte a second until the server ends it.
async fn crawl(kind: Slow, mut stream: TcpStream, token: &str) -> End {
    let get = "GET /api/v1/browsing_data?kind=pageVisit&limit=25 HTTP/1.1\r\n".to_owned();
    let authorization = format!("host: x\r\nauthorization: Bearer {token}\r\n");
    let post = format!("POST /api/v1/data/sync HTTP/1.1\r\n{authorization}content-length: 1000\r\n\r\n");
    let (at_once, slowly) = match kind {
        Slow::Silent => (String::new(), String::new()),
        Slow::Head => (String::new(), get + &authorization),
        Slow::Body => (post, "{".repeat(1000)),
        Slow::Reader => (get + &authorization + "\r\n", String::new()),
    };
    stream.write_all(at_once.as_bytes()).await.unwrap();
    if matches!(kind, Slow::Reader) {
        return read_slowly(&stream).await;
    }
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut bytes = slowly.bytes();
    let mut read = Vec::new();
    loop {
        tokio::select! {
            end = stream.read_buf(&mut read) => match end {
                Ok(0) | Err(_) if read.is_empty() => return End::Closed,
                Ok(0) | Err(_) => return End::Told(String::from_utf8_lossy(&read).into_owned()),
                Ok(_) => {}
            },
            _ = second.tick() => if let Some(byte) = bytes.next() {
                drop(stream.write_all(&[byte]).await);
            },
        }
    }
}

async fn read_slowly(stream: &TcpStream) -> End {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            // a reset is seen whatever is still to be read
            ready = stream.ready(Interest::ERROR) => if ready.unwrap().is_error() {
                return End::Closed;
            },
            _ = second.tick() => drop(stream.try_read(&mut [0])),
        }
    }
}

async fn a_user_has_so_many_answers_that_are_not_taken(mut backend: Backend) {
    backend.reconfigure(|config| config.limits.place_wait = Duration::from_millis(200)).await;
    let (ada, bob) = (backend.register("ada@example.org").await, backend.register("bob@example.org").await);
    backend.sync(&ada.access, json!(a_large_page()), json!([])).await.ok();
    let paths = ["/api/v1/browsing_data", "/api/v1/users/me/export"];
    let mut untaken = Vec::new();
    for n in 0..USER_ANSWERS {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(backend.address()).await.unwrap();
        let (path, token) = (paths[n % 2], &ada.access);
        let get = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        stream.write_all(get.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        untaken.push(stream);
    }
    for path in paths {
        assert_eq!(backend.get(path, &ada.access).await.code(), (429, "RATE_LIMITED"), "{path}");
    }
    backend.get(paths[0], &bob.access).await.ok();
    backend.sync(&ada.access, json!([visit("v")]), json!([])).await.ok();
    drop(untaken);
    let free = async { while backend.get(paths[0], &ada.access).await.code().0 == 429 {} };
    tokio::time::timeout(NEVER, free).await.expect("their turns are not free again");
}

/// What needs no sign-in is waited for less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_has_a_shorter_time_to_come() {
    let backend = Backend::with(|config| {
        config.limits.form_deadline = Duration::from_millis(200);
        config.limits.body_deadline = Duration::from_secs(3_600);
    })
    .await;
    let mut stream = TcpStream::connect(backend.address()).await.unwrap();
    let form = b"POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(form).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(NEVER, stream.read_to_end(&mut answer)).await.expect("it was not closed").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"));
}

/// Silent ones hold their places until the deadline; behind a proxy they are all one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_has_so_many_connections() {
    let mut backend = Backend::with(|config| {
        config.limits.network_connections = 8;
        config.limits.connections = 16;
        config.limits.header_deadline = Duration::from_secs(3_600);
    })
    .await;
    for at_once in [8, 16] {
        let mut open = Vec::new();
        for _ in 0..=at_once {
            open.push(TcpStream::connect(backend.address()).await.unwrap());
        }
        // one of them is one too many: they are let in in any order
        let mut bytes = vec![[0]; open.len()];
        let ends = open.iter_mut().zip(&mut bytes).map(|(stream, byte)| Box::pin(stream.read(byte)));
        let first = futures_util::future::select_all(ends);
        let (end, closed, _) = tokio::time::timeout(NEVER, first).await.expect("all were let in");
        assert!(matches!(end, Ok(0) | Err(_)));
        open.remove(closed);
        open.pop();
        let served = async {
            while backend.request(reqwest::Method::GET, "/health").send().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(NEVER, served).await.expect("a place that is free again is taken");
        drop(open);
        backend.reconfigure(|c| c.client_ip_header = Some("x-forwarded-for".parse().unwrap())).await;
    }
}

/// A connection that was served and then says nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed() {
    let backend = Backend::with(|config| config.limits.header_deadline = Duration::from_millis(500)).await;
    let mut stream = TcpStream::connect(backend.address()).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(NEVER, stream.read_to_end(&mut answer)).await.expect("it was not closed").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}
