//! The settings file, TOML: what the flags and the environment say wins over it.

use crate::config::{Config, Database, Registration};
use crate::limits::{Limits, MAX_BODY_BYTES, Rate, USER_AT_ONCE};
use crate::mail::MailSetting;
use crate::tls::Tls;
use anyhow::{Context as _, bail};
use axum::http::{HeaderName, HeaderValue};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub listen: Option<String>,
    pub database: Option<String>,
    /// "open" or "closed".
    pub registration: Option<String>,
    /// A file that holds the key for access tokens.
    pub jwt_secret_file: Option<PathBuf>,
    pub client_ip_header: Option<String>,
    #[serde(default)]
    pub cors_origins: Vec<String>,
    pub tls: Option<TlsFiles>,
    pub mail: Option<Mail>,
    #[serde(default)]
    pub limits: LimitSettings,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// May hold a password: also read from `HEYHO_SMTP_URL`.
    pub smtp: Option<String>,
    pub from: String,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mail")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    pub max_body_bytes: Option<usize>,
    pub postgres_connections: Option<u32>,
    pub user_requests: Option<RateSetting>,
    pub network_requests: Option<RateSetting>,
    pub network_sign_ins: Option<RateSetting>,
    pub address_sign_ins: Option<RateSetting>,
    pub address_mails: Option<RateSetting>,
    pub address_mails_a_day: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSetting {
    pub burst: u32,
    pub per_minute: u32,
}

impl Settings {
    pub fn read(path: &Path) -> anyhow::Result<Settings> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{}", path.display()))
    }

    /// The configuration this file and the choice of database make.
    pub fn config(&self, database: Database) -> anyhow::Result<Config> {
        let mut config = Config::new(database);
        if let Some(name) = &self.client_ip_header {
            let name = name.parse::<HeaderName>().with_context(|| {
                format!(
                    "client_ip_header is {name:?}; the name of a header is accepted, such as x-forwarded-for"
                )
            })?;
            config.client_ip_header = Some(name);
        }
        for origin in &self.cors_origins {
            match origin.parse::<HeaderValue>() {
                Ok(value) if is_origin(origin) => config.cors_origins.push(value),
                _ => bail!(
                    "cors_origins has {origin:?}; an origin is accepted as browsers write it, such as \
                     https://app.example.org: in lower case, without a path, without the scheme's own port"
                ),
            }
        }
        if let Some(text) = &self.registration {
            config.registration = Registration::parse(text)?;
        }
        self.limits.apply(&mut config.limits)?;
        Ok(config)
    }

    /// What the files it names hold.
    pub fn tls(&self) -> anyhow::Result<Option<Tls>> {
        self.tls.as_ref().map(|files| Tls::read(&files.certificate, &files.key)).transpose()
    }

    /// The SMTP server and the sender: from the environment, else from this file; None without a server.
    pub fn mail(&self, smtp: Option<String>, from: Option<String>) -> anyhow::Result<Option<MailSetting>> {
        let Some(smtp) = smtp.or_else(|| self.mail.as_ref()?.smtp.clone()) else {
            if self.mail.is_some() || from.is_some() {
                bail!("there is a sender for e-mail but no server: set mail.smtp or HEYHO_SMTP_URL");
            }
            return Ok(None);
        };
        let from = from.or_else(|| Some(self.mail.as_ref()?.from.clone())).context(
            "there is a server for e-mail but no sender: set mail.from or HEYHO_MAIL_FROM, such as \
             HeyHo <no-reply@example.org>",
        )?;
        MailSetting::parse(&smtp, &from).map(Some)
    }
}

/// As a browser sends it: another spelling would never match.
fn is_origin(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let extension = url.scheme().ends_with("-extension");
    let written = match url.host_str() {
        Some(host) if extension => format!("{}://{host}", url.scheme()),
        _ => url.origin().ascii_serialization(),
    };
    written == text
}

impl LimitSettings {
    fn apply(&self, limits: &mut Limits) -> anyhow::Result<()> {
        if let Some(bytes) = self.max_body_bytes {
            if bytes < heyho_records::record::MAX_RECORD_BYTES * 2 {
                bail!("limits.max_body_bytes is {bytes}; at least 524288 are needed, a companion's batch");
            }
            if bytes > MAX_BODY_BYTES {
                bail!("limits.max_body_bytes is {bytes}; at most {MAX_BODY_BYTES} are accepted");
            }
            limits.max_body_bytes = bytes;
        }
        if let Some(connections) = self.postgres_connections {
            // one user's requests take so many; others need some too
            let needed = USER_AT_ONCE + 2;
            if (connections as usize) < needed {
                bail!("limits.postgres_connections is {connections}; at least {needed} are needed");
            }
            limits.postgres_connections = connections;
        }
        if let Some(mails) = self.address_mails_a_day {
            if mails == 0 {
                bail!(
                    "limits.address_mails_a_day is 0; at least 1 is needed (without mail.smtp none is sent)"
                );
            }
            limits.address_mails_a_day = mails;
        }
        for (name, setting, limit) in [
            ("user_requests", self.user_requests, &mut limits.user_requests),
            ("network_requests", self.network_requests, &mut limits.network_requests),
            ("network_sign_ins", self.network_sign_ins, &mut limits.network_sign_ins),
            ("address_sign_ins", self.address_sign_ins, &mut limits.address_sign_ins),
            ("address_mails", self.address_mails, &mut limits.address_mails),
        ] {
            if let Some(RateSetting { burst, per_minute }) = setting {
                if burst == 0 || per_minute == 0 {
                    bail!(
                        "limits.{name} has burst {burst} and per_minute {per_minute}; at least 1 each is needed"
                    );
                }
                *limit = Rate { burst, per_minute };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Config> {
        toml::from_str::<Settings>(text)?.config(Database::parse("sqlite://x.db")?)
    }

    #[test]
    fn a_full_file_is_read() {
        let config = read(
            r#"
            listen = "0.0.0.0:443"
            database = "postgres://heyho@db/heyho"
            client_ip_header = "X-Forwarded-For"
            cors_origins = ["https://app.example.org", "chrome-extension://abc"]
            [tls]
            certificate = "/etc/heyho/cert.pem"
            key = "/etc/heyho/key.pem"
            [limits]
            max_body_bytes = 1048576
            user_requests = { burst = 100, per_minute = 7 }
            "#,
        )
        .unwrap();
        assert_eq!(config.limits.max_body_bytes, 1_048_576);
        assert_eq!((config.limits.user_requests.burst, config.limits.user_requests.per_minute), (100, 7));
        assert_eq!(config.cors_origins.len(), 2);
    }

    #[test]
    fn the_sample_of_the_documentation_is_read() {
        let text = include_str!("../../../docs/backend.md");
        let sample = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        read(sample).unwrap();
        let settings: Settings = toml::from_str(sample).unwrap();
        assert!(settings.mail(None, None).unwrap().is_some());
        // each table names all there is
        let table: toml::Table = toml::from_str(sample).unwrap();
        for (table, known) in [(&table, 9), (table["limits"].as_table().unwrap(), 8)] {
            assert_eq!(table.len(), known, "{table:?}");
        }
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_accepted() {
        for (text, words) in [
            ("lisen = \"x\"", "lisen"),
            ("cors_origins = [\"*\"]", "https://app.example.org"),
            ("cors_origins = [\"https://app.example.org/\"]", "without a path"),
            ("cors_origins = [\"https://app.example.org/path\"]", "without a path"),
            ("cors_origins = [\"https://App.example.org\"]", "lower case"),
            ("cors_origins = [\"https://app.example.org:443\"]", "own port"),
            ("cors_origins = [\"chrome-extension://abc/x\"]", "without a path"),
            ("registration = \"shut\"", "\"closed\""),
            ("[limits]\npostgres_connections = 5", "at least 6"),
            ("[limits]\nmax_body_bytes = 67108865", "at most 67108864"),
            ("[limits]\naddress_mails_a_day = 0", "limits.address_mails_a_day"),
            ("[limits]\naddress_mails = { burst = 0, per_minute = 1 }", "limits.address_mails"),
            ("[limits]\nuser_requests = { burst = 1, per_minute = 0 }", "limits.user_requests"),
            ("client_ip_header = \"a b\"", "x-forwarded-for"),
            ("[limits]\nmax_body_bytes = 5", "524288"),
            ("[tls]\ncertificate = \"c\"", "key"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
