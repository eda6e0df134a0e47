//! Which backend addresses are accepted, and how a route is joined to one.
//!
//! https anywhere; http only to this machine, unless `allow_http` says otherwise. A path prefix is kept; a path
//! that ends in `/api/v1` means the same without it. No user names, queries or fragments.

use url::{Host, Url};

/// Where `heyho-backend serve` listens when nothing else is said.
const DEFAULT: &str = "http://127.0.0.1:3001";

/// The address of a backend, in its one canonical spelling: no trailing slash, no `/api/v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl(Url);

/// Why an address is not accepted. The texts name the address only where it holds no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error(
        "`{0}` is not a web address; accepted: https://host[:port][/prefix], or http:// for this machine"
    )]
    Unreadable(String),
    #[error("`{0}` begins with neither https:// nor http://")]
    Scheme(String),
    #[error(
        "`{0}` would send records and the sign-in unencrypted; accepted: https://, http:// for this machine only (elsewhere too after: heyho config set backend.allow_http true)"
    )]
    Unencrypted(String),
    #[error("the address holds a user name or password; sign in with `heyho login` instead")]
    Credentials,
    #[error("the address holds a `?` or `#`; accepted: https://host[:port][/prefix]")]
    Query,
}

impl BaseUrl {
    pub fn parse(text: &str, allow_http: bool) -> Result<BaseUrl, BadUrl> {
        let text = text.trim();
        let mut url = match Url::parse(text) {
            Ok(url) => url,
            // An unreadable address may still hold a password.
            Err(_) if text.contains('@') => return Err(BadUrl::Credentials),
            Err(_) => return Err(BadUrl::Unreadable(text.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl::Credentials);
        }
        match url.scheme() {
            "https" => {}
            "http" if allow_http || is_loopback(&url) => {}
            "http" => return Err(BadUrl::Unencrypted(text.to_owned())),
            _ if text.contains('@') => return Err(BadUrl::Credentials),
            _ => return Err(BadUrl::Scheme(text.to_owned())),
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadUrl::Query);
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/api/v1").unwrap_or(path).trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(BaseUrl(url))
    }

    /// The address of a route such as `/api/v1/data/sync`.
    pub fn join(&self, route: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{route}", self.0.path().trim_end_matches('/')));
        url
    }

    /// The canonical spelling: what an account is bound to.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

impl Default for BaseUrl {
    /// The reference backend on this machine.
    fn default() -> BaseUrl {
        match Url::parse(DEFAULT) {
            Ok(url) => BaseUrl(url),
            Err(_) => unreachable!("a constant that the tests parse"),
        }
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_reference_backend_here() {
        assert_eq!(BaseUrl::default().as_str(), DEFAULT);
    }

    #[test]
    fn prefixes_are_kept_and_the_api_path_is_not() {
        for (text, canonical) in [
            ("https://x.example", "https://x.example"),
            ("https://X.example/", "https://x.example"),
            ("https://x.example:443/api/v1/", "https://x.example"),
            (" https://x.example/heyho/api/v1 ", "https://x.example/heyho"),
            ("http://127.0.0.1:3001", "http://127.0.0.1:3001"),
            ("http://[::1]:3001/p/", "http://[::1]:3001/p"),
            ("http://localhost:9", "http://localhost:9"),
        ] {
            let url = BaseUrl::parse(text, false).unwrap();
            assert_eq!(url.as_str(), canonical, "{text}");
            assert_eq!(url.join("/health").as_str(), format!("{canonical}/health"));
        }
    }

    #[test]
    fn unencrypted_addresses_are_refused_unless_allowed() {
        for text in ["http://x.example", "http://192.168.1.2:3001", "http://127.0.0.1.example"] {
            assert!(matches!(BaseUrl::parse(text, false), Err(BadUrl::Unencrypted(_))), "{text}");
            assert!(BaseUrl::parse(text, true).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_a_password_is_not_repeated() {
        for text in [
            "",
            "x.example",
            "ftp://x.example",
            "javascript:alert(1)",
            "https://x.example/?a=1",
            "https://x.example/#a",
        ] {
            assert!(BaseUrl::parse(text, true).is_err(), "{text}");
        }
        for text in ["https://me:geheim@x.example", "ftp://me:geheim@x", "me:geheim@x", "//me:geheim@x"] {
            let error = BaseUrl::parse(text, true).unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
