//! A server that does as it is told, one act a connection, and remembers what it was sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What is done with one connection, after its request was read.
#[derive(Debug, Clone)]
pub enum Act {
    /// These bytes, then the end.
    Raw(String),
    /// A body that never ends.
    Endless,
    /// Nothing at all.
    Silence,
    /// A whole answer, very slowly.
    Drip,
    /// A whole answer, after a while.
    Late(Duration),
    /// The head of an answer, and nothing more.
    Stops,
}

pub fn json(status: u16, body: &str) -> Act {
    Act::Raw(format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

pub fn status(status: u16) -> Act {
    json(status, "")
}

#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(acts: Vec<Act>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            for act in acts {
                let (mut stream, _) = listener.accept().await.unwrap();
                if let Some(request) = read_request(&mut stream).await {
                    seen.lock().unwrap().push(request);
                }
                perform(&act, &mut stream).await;
            }
        });
        Server { url, requests, task }
    }

    pub fn request(&self, index: usize) -> Request {
        self.requests.lock().unwrap()[index].clone()
    }

    pub fn seen(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Afterwards nothing listens there.
    pub async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.map_or_else(|error| error.is_cancelled(), |()| true));
    }
}

/// `None` when the peer sends something else, or leaves.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
        // A TLS greeting is no request.
        if bytes.first() == Some(&0x16) || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut request = Request { line: head.lines().next()?.to_owned(), head, body: bytes[end..].to_vec() };
    let length = request.header("content-length").map_or(0, |it| it.parse().unwrap());
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}

async fn perform(act: &Act, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    match act {
        Act::Raw(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Act::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"x\":\"").await;
            while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
        }
        // Until the client gives up.
        Act::Silence => while stream.read_u8().await.is_ok() {},
        Act::Late(after) => {
            tokio::time::sleep(*after).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
                .await;
            let _ = stream.shutdown().await;
        }
        Act::Stops => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{").await;
            while stream.read_u8().await.is_ok() {}
        }
        Act::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
            let mut tick = tokio::time::interval(Duration::from_millis(50));
            while stream.write_all(b" ").await.is_ok() {
                tick.tick().await;
            }
        }
    }
}
