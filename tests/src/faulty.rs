//! A backend that is wrong on purpose, down to the bytes: a socket that reads a request and answers what it is
//! told to. Its address stays the same while the fault changes, and while a real backend takes its place.

use anyhow::Result;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500 with the JSON body of the contract.
    ServerError,
    /// 403 with the JSON body of the contract: whatever is sent.
    Forbidden,
    /// 200 and a page of HTML: a hotel's sign-in page.
    HtmlWith200,
    /// 200 without a body.
    Empty200,
    /// The connection is closed without a byte.
    HangUp,
    /// A 200 that stops in the middle of its body.
    CutOff,
    /// The request is taken, and nothing comes back.
    Silent,
    /// 400 that names the first visit of [`crate::tour::visit`], whatever is sent.
    Refuses,
    /// Whoever signs in has to confirm the address first. A message for a new password is on its way at once.
    Unconfirmed,
}

#[derive(Debug)]
pub struct Faulty {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Faulty {
    /// Listens where a backend listened before (its port), so that nothing else has to change; 0: on a free port.
    pub async fn start(port: u16, fault: Fault) -> Result<Faulty> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let server = tokio::spawn(async move {
            // They end with this.
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, fault, kept.clone()));
            }
        });
        Ok(Faulty { port, seen, server })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The request lines so far.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hangs up on whoever waits, and gives the port free.
    pub async fn stop(self) {
        self.server.abort();
        self.server.await.ok();
    }
}

/// The field and the words that [`Fault::Refuses`] names.
pub const REFUSED: (&str, &str) = ("title", "Titles end at 20 characters here");

const REFUSAL: &str = r#"{"success":false,"code":"VALIDATION_ERROR","error":"Validation failed for one or more records",
"failed_records":[{"kind":"pageVisit","index":0,"id":"visit-00000","field":"title","error":"Titles end at 20 characters here"}]}"#;

fn json(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn serve(mut stream: TcpStream, fault: Fault, seen: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let head = read_request(&mut stream).await?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    let asks_for_password = line.contains("reset-password-request");
    let answer = match fault {
        Fault::ServerError => json(
            "500 Internal Server Error",
            r#"{"success":false,"code":"SYNC_FAILED","error":"The data could not be stored"}"#,
        ),
        Fault::Forbidden => json(
            "403 Forbidden",
            r#"{"success":false,"code":"FORBIDDEN","error":"This account may not send records"}"#,
        ),
        Fault::Refuses => json("400 Bad Request", REFUSAL),
        Fault::Unconfirmed if asks_for_password => json("200 OK", r#"{"success":true}"#),
        Fault::Unconfirmed => json(
            "403 Forbidden",
            r#"{"success":false,"code":"EMAIL_NOT_VERIFIED","error":"Confirm your address first"}"#,
        ),
        Fault::HtmlWith200 => {
            let body = "<!doctype html><title>Welcome</title><p>Please sign in to use the network.";
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Fault::Empty200 => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        Fault::CutOff => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
             Content-Length: 4096\r\n\r\n{\"success\":true,\"data\":{\"page_vis"
            .to_owned(),
        Fault::HangUp => String::new(),
        Fault::Silent => std::future::pending().await,
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Reads the head and the body whole: a fault must be in the answer, not in how the request was taken.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok(head);
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
