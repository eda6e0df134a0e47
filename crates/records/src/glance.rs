//! What a list shows of a record: a title, a host, an address. For showing only: nothing is refused here, and a
//! record that was never accepted is shown as far as it can be read.

use crate::json::{Json, repair};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    pub title: Option<String>,
    pub host: Option<String>,
    pub url: Option<String>,
}

impl Glance {
    pub fn of(text: &str) -> Glance {
        let Ok(tree) = Json::parse(&repair(text)) else { return Glance::default() };
        let text_of = |name: &str| tree.get(name).and_then(Json::as_str).map(str::to_owned);
        let url = text_of("url").or_else(|| text_of("currentUrl"));
        let host = url.as_deref().and_then(host_of);
        let named = || text_of("currentDomain").or_else(|| text_of("domain"));
        Glance { title: text_of("title"), host: host.or_else(named), url }
    }

    /// Whether all of these words, in lower case, stand in what is shown.
    pub fn names(&self, words: &[String]) -> bool {
        let shown = [&self.title, &self.host, &self.url].into_iter().flatten();
        let shown = shown.map(|text| text.to_lowercase()).collect::<Vec<_>>();
        words.iter().all(|word| shown.iter().any(|text| text.contains(word)))
    }
}

/// The name of a host as addresses write it (lower case, punycode); none: it is no name of a host.
pub fn host_name(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("*.").trim_end_matches('.');
    let url = url::Url::parse(&format!("http://{text}/")).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    (url.path() == "/" && url.username().is_empty() && url.port().is_none()).then(|| host.to_owned())
}

fn host_of(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_shown() {
        let shown = Glance::of(r#"{"id":"v","url":"https://u@a.example:8/x?y","title":"T \ud83d"}"#);
        assert_eq!(shown.host.as_deref(), Some("a.example:8"));
        assert_eq!(shown.title.as_deref(), Some("T \u{fffd}"));
        assert_eq!(Glance::of(r#"{"currentDomain":"b.example"}"#).host.as_deref(), Some("b.example"));
        assert_eq!(Glance::of("{no json"), Glance::default());
    }

    #[test]
    fn a_search_is_for_all_words_wherever_they_stand() {
        let shown = Glance::of(r#"{"url":"https://a.example/Path","title":"Große Dinge"}"#);
        let names = |words: &str| shown.names(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(names("große a.example") && names("path") && names(""));
        assert!(!names("große other"));
    }

    #[test]
    fn a_host_is_named_as_addresses_name_it() {
        for (given, name) in [
            ("Example.com", Some("example.com")),
            ("*.example.com.", Some("example.com")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("[::1]", Some("[::1]")),
            ("", None),
            ("a b", None),
            ("a/b", None),
            ("user@a", None),
        ] {
            assert_eq!(host_name(given).as_deref(), name, "{given}");
        }
    }
}
