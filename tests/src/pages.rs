//! The site that is browsed: pages on loopback, and the log of what was really asked for.
//!
//! The log is the tests' measure of "visited": it is written by the server, not by anything under test.
//! Only documents under `/page/` count; a browser also asks for icons.

use anyhow::Result;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Debug)]
pub struct Pages {
    port: u16,
    log: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Pages {
    pub async fn start() -> Result<Pages> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A browser that hangs up in the middle of a request is no fault of the site.
                tokio::spawn(serve(stream, port, kept.clone()));
            }
        });
        Ok(Pages { port, log, server })
    }

    /// A page's address. Hosts under `localhost` lead to loopback in every browser.
    pub fn url(&self, site: &str, name: &str) -> String {
        format!("http://{site}.localhost:{}/page/{name}", self.port)
    }

    /// The addresses of the pages that were served, in order.
    pub fn visited(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(stream: TcpStream, port: u16, log: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut path, mut host) = (String::new(), String::new());
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            host = value.trim().to_owned();
        }
        line.clear();
    }
    let (status, body) = match path.strip_prefix("/page/") {
        Some(name) => {
            let url = format!("http://{host}{path}");
            log.lock().unwrap_or_else(PoisonError::into_inner).push(url);
            ("200 OK", page(name, port))
        }
        None => ("404 Not Found", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn page(name: &str, port: u16) -> String {
    format!(
        "<!doctype html><html lang=en><title>Page {name}</title><link rel=icon href=\"data:,\">\
         <h1>Page {name}</h1><p>Served on port {port} of this machine.</p>"
    )
}
