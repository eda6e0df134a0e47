//! An SMTP server that keeps what it is given: enough of RFC 5321 for any client that keeps to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[derive(Debug)]
pub struct Mail {
    pub to: String,
    pub text: String,
}

impl Mail {
    /// The line that is a code and nothing else.
    pub fn code(&self) -> String {
        let mut lines = self.text.lines().map(str::trim);
        lines.find(|l| l.len() == 8 && l.bytes().all(|b| b.is_ascii_digit())).expect(&self.text).to_owned()
    }
}

pub struct Smtp {
    pub address: SocketAddr,
    mails: mpsc::UnboundedReceiver<Mail>,
}

impl Smtp {
    /// On a free port; with a configuration it speaks TLS from the first byte. The first so many messages are put off,
    /// as by a server that greylists.
    pub async fn start(tls: Option<axum_server::tls_rustls::RustlsConfig>, put_off: usize) -> Smtp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mails) = mpsc::unbounded_channel();
        let put_off = Arc::new(AtomicUsize::new(put_off));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, put_off, tls) = (sender.clone(), put_off.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return converse(stream, &sender, &put_off).await };
                    use axum_server::accept::Accept as _;
                    let acceptor = axum_server::tls_rustls::RustlsAcceptor::new(tls);
                    if let Ok((stream, ())) = acceptor.accept(stream, ()).await {
                        converse(stream, &sender, &put_off).await;
                    }
                });
            }
        });
        Smtp { address, mails }
    }

    pub async fn next(&mut self) -> Mail {
        let mail = tokio::time::timeout(Duration::from_secs(60), self.mails.recv()).await;
        mail.expect("no mail came").expect("the server runs")
    }

    /// Whether nothing came besides what was taken.
    pub fn is_empty(&mut self) -> bool {
        self.mails.try_recv().is_err()
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    mails: &mpsc::UnboundedSender<Mail>,
    put_off: &AtomicUsize,
) {
    let mut stream = BufReader::new(stream);
    let mut mail = Mail { to: String::new(), text: String::new() };
    let mut say = "220 test\r\n";
    loop {
        if stream.write_all(say.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        say = match verb.as_str() {
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN\r\n",
            // user\0name and password in base64; the tests know both
            "AUTH" => "235 ok\r\n",
            "MAIL" => "250 ok\r\n",
            "RCPT"
                if put_off.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() =>
            {
                "451 later\r\n"
            }
            "RCPT" => {
                let to = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                mail.to = to.map(|(to, _)| to.to_owned()).unwrap();
                "250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.unwrap();
                stream.flush().await.unwrap();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    if line == ".\r\n" {
                        break;
                    }
                    mail.text.push_str(&line);
                }
                let text = std::mem::take(&mut mail.text);
                mails.send(Mail { to: std::mem::take(&mut mail.to), text }).ok();
                "250 ok\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok();
                stream.flush().await.ok();
                return;
            }
            _ => "250 ok\r\n",
        };
    }
}
