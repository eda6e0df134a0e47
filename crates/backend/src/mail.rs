//! E-mail through an SMTP server, for the codes of `auth::codes`. Off when none is set.
//!
//! A message is made and sent after the request that asks for it was answered, so that the time of an answer tells
//! nothing. Only so many are under way at once; what cannot be sent is tried again a few times, then given up: its
//! reader asks for another. Mail leaves this machine only encrypted. Neither addresses nor codes are ever logged, nor
//! what the other server says, because it repeats them.

use crate::limits::{MAIL_PAUSES, MAIL_TIMEOUT, MAILS_AT_ONCE, MAILS_WAITING};
use anyhow::{Context as _, bail};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

type Smtp = AsyncSmtpTransport<Tokio1Executor>;

/// Which server sends, and from which address. Its URL may hold a password and is never printed.
#[derive(Clone)]
pub struct MailSetting {
    url: String,
    from: Mailbox,
}

impl std::fmt::Debug for MailSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailSetting")
    }
}

impl MailSetting {
    /// `smtps://USER:PASSWORD@HOST`, `smtp://…` with STARTTLS, or `smtp://localhost` in the clear.
    pub fn parse(url: &str, from: &str) -> anyhow::Result<MailSetting> {
        let accepted = "smtps://USER:PASSWORD@HOST or smtp://USER:PASSWORD@HOST is accepted";
        // what is wrong with it may be its password, so nothing of it is repeated
        let mut url =
            url::Url::parse(url).ok().with_context(|| format!("the SMTP server is no URL; {accepted}"))?;
        if !["smtp", "smtps"].contains(&url.scheme()) || !url.has_host() {
            bail!("the SMTP server has the scheme {:?}; {accepted}", url.scheme());
        }
        url.set_query(None);
        let local = url.host_str().is_some_and(|host| {
            let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
        });
        if url.scheme() == "smtp" && !local {
            url.set_query(Some("tls=required"));
        }
        let from = from.parse().with_context(|| {
            format!(
                "the sender {from:?} is no address; HeyHo <no-reply@example.org> is accepted, for example"
            )
        })?;
        let setting = MailSetting { url: url.into(), from };
        setting.transport()?;
        Ok(setting)
    }
}

impl MailSetting {
    fn transport(&self) -> anyhow::Result<AsyncSmtpTransportBuilder> {
        // its error may repeat the password
        Smtp::from_url(&self.url).ok().context(
            "the SMTP server's URL cannot be used; smtps://USER:PASSWORD@HOST is accepted, user and password as \
             percent-encoded UTF-8",
        )
    }
}

/// Sends messages beside the requests.
#[derive(Debug)]
pub struct Mailer {
    smtp: Smtp,
    from: Mailbox,
    turns: Semaphore,
    under_way: TaskTracker,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Taken,
    Refused,
    Later,
}

impl Mailer {
    pub fn new(setting: &MailSetting) -> anyhow::Result<Mailer> {
        let smtp = setting
            .transport()?
            .hello_name(ClientId::Domain(setting.from.email.domain().to_owned()))
            .timeout(Some(MAIL_TIMEOUT))
            .build();
        Ok(Mailer {
            smtp,
            from: setting.from.clone(),
            turns: Semaphore::new(MAILS_AT_ONCE),
            under_way: TaskTracker::new(),
        })
    }

    /// Runs what ends in a message, after the request. With too many waiting it is left out.
    pub fn later(&self, work: impl Future<Output = ()> + Send + 'static) {
        if self.under_way.len() >= MAILS_WAITING {
            tracing::warn!("too many messages wait to be sent; one was left out");
            return;
        }
        self.under_way.spawn(work);
    }

    /// Sends a message, trying again after each of a few pauses.
    pub async fn send(&self, to: &str, subject: &str, text: String) {
        let Ok(address) = to.parse() else {
            tracing::warn!("an address of an account is none that mail can be sent to");
            return;
        };
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text);
        let Ok(message) = message else {
            tracing::warn!("a message could not be put together");
            return;
        };
        for pause in MAIL_PAUSES {
            match self.try_once(message.clone()).await {
                Sent::Taken => return,
                Sent::Refused => break,
                Sent::Later => tokio::time::sleep(pause).await,
            }
        }
        tracing::warn!("a message could not be sent and was given up");
    }

    async fn try_once(&self, message: Message) -> Sent {
        let Ok(_turn) = self.turns.acquire().await else { return Sent::Later };
        match self.smtp.send(message).await {
            Ok(_) => Sent::Taken,
            Err(error) => {
                let status = error.status().map(|code| code.to_string());
                let (tls, timeout) = (error.is_tls(), error.is_timeout());
                tracing::warn!(status, tls, timeout, "the SMTP server did not take a message");
                if error.is_permanent() { Sent::Refused } else { Sent::Later }
            }
        }
    }

    /// Lets what is under way finish, for a while.
    pub async fn finish(&self, patience: Duration) {
        self.under_way.close();
        if tokio::time::timeout(patience, self.under_way.wait()).await.is_err() {
            tracing::warn!("messages that were still to be sent are given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_leaves_this_machine_only_encrypted() {
        for (given, used) in [
            ("smtp://localhost:2525", "smtp://localhost:2525"),
            ("smtp://[::1]:2525", "smtp://[::1]:2525"),
            ("smtp://127.0.0.1", "smtp://127.0.0.1"),
            ("smtp://u:p@mail.example.org", "smtp://u:p@mail.example.org?tls=required"),
            ("smtp://mail.example.org:587?tls=opportunistic", "smtp://mail.example.org:587?tls=required"),
            ("smtps://u:p@mail.example.org", "smtps://u:p@mail.example.org"),
        ] {
            let setting = MailSetting::parse(given, "HeyHo <no-reply@example.org>").unwrap();
            assert_eq!(setting.url, used);
            assert_eq!(format!("{setting:?}"), "MailSetting");
        }
    }

    #[test]
    fn a_bad_setting_says_what_is_accepted_and_repeats_no_password() {
        for bad in ["", "mail.example.org", "https://u:hunter2@mail.example.org", "smtp://", "smtp:hunter2"] {
            let error = MailSetting::parse(bad, "a@example.org").unwrap_err().to_string();
            assert!(error.contains("smtps://") && !error.contains("hunter2"), "{error}");
        }
        let error = MailSetting::parse("smtp://localhost", "nobody").unwrap_err().to_string();
        assert!(error.contains("nobody") && error.contains("no-reply@example.org"), "{error}");
    }
}
