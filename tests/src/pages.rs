//! The site that is browsed: pages on loopback, and the log of what was really asked for.
//!
//! The log is the tests' measure of "visited": it is written by the server, not by anything under test.
//! Only documents under `/page/` count; a browser also asks for icons. A page that is fetched ahead of time and
//! perhaps never shown counts apart.
//!
//! ```text
//! /page/NAME          a page with a link `#l` and one that opens a tab, `#b`; addresses are set by the script
//! /page/hop/NAME      a page that goes on to /page/NAME by itself
//! /page/ahead/NAME    a page that has /page/NAME rendered ahead of time; its link leads there
//! /redirect/NAME      the server sends the browser on to /page/NAME
//! /moves/NAME         a page that is asked for anew each time; from when it has moved, the server sends the browser on
//! /nothing/           204: the browser stays where it is
//! ```

use anyhow::Result;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
struct Log {
    shown: Vec<String>,
    ahead: Vec<String>,
    /// Where all of `/moves/` leads by now.
    moved: Option<String>,
}

#[derive(Debug)]
pub struct Pages {
    port: u16,
    log: Arc<Mutex<Log>>,
    server: JoinHandle<()>,
}

impl Pages {
    pub async fn start() -> Result<Pages> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let log = Arc::new(Mutex::new(Log::default()));
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

    /// Any other address of that site.
    pub fn at(&self, site: &str, path: &str) -> String {
        format!("http://{site}.localhost:{}/{path}", self.port)
    }

    /// From now on every page that can has moved to that address.
    pub fn moved(&self, to: &str) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).moved = Some(to.to_owned());
    }

    /// The addresses of the pages that were served, in order.
    pub fn visited(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).shown.clone()
    }

    /// Those that were fetched before anybody asked to see them.
    pub fn fetched_ahead(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).ahead.clone()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(stream: TcpStream, port: u16, log: Arc<Mutex<Log>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut path, mut host, mut ahead) = (String::new(), String::new(), false);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("host") {
                host = value.trim().to_owned();
            }
            ahead |= name.eq_ignore_ascii_case("sec-purpose") && value.contains("prefetch");
        }
        line.clear();
    }
    let named = path.split('?').next().unwrap_or_default();
    let (status, more, body) = match named.trim_start_matches('/').split_once('/') {
        Some(("page", name)) => {
            let url = format!("http://{host}{path}");
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if ahead {
                log.ahead.push(url)
            } else {
                log.shown.push(url)
            }
            ("200 OK", String::new(), page(name, port))
        }
        Some(("redirect", name)) => ("302 Found", format!("Location: /page/{name}\r\n"), String::new()),
        Some(("moves", name)) => match log.lock().unwrap_or_else(PoisonError::into_inner).moved.clone() {
            Some(to) => {
                ("302 Found", format!("Location: {to}\r\nCache-Control: no-store\r\n"), String::new())
            }
            None => ("200 OK", "Cache-Control: no-store\r\n".to_owned(), page(name, port)),
        },
        Some(("nothing", _)) => ("204 No Content", String::new(), String::new()),
        _ => ("404 Not Found", String::new(), String::new()),
    };
    // Not `no-store`: such a page never comes back from the back/forward cache.
    let head = format!(
        "HTTP/1.1 {status}\r\n{more}Content-Type: text/html; charset=utf-8\r\nCache-Control: no-cache\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn page(name: &str, port: u16) -> String {
    let more = match name.split_once('/') {
        Some(("hop", to)) => format!("<script>location.replace('/page/{to}')</script>"),
        Some(("ahead", to)) => format!(
            "<script type=speculationrules>{{\"prerender\":[{{\"urls\":[\"/page/{to}\"],\"eagerness\":\"immediate\"}}]}}\
             </script><a id=ahead href='/page/{to}'>there</a>"
        ),
        _ => String::new(),
    };
    format!(
        "<!doctype html><html lang=en><title>Page {name}</title><link rel=icon href=\"data:,\">\
         <h1>Page {name}</h1><p>Served on port {port} of this machine.</p>\
         <a id=l href='#'>link</a> <a id=b href='#' target=_blank>new tab</a>{more}"
    )
}
