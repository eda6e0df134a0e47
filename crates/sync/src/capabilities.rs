//! What the backend says it can do (`GET /api/v1/capabilities`), read with suspicion: a limit that would stop
//! the work altogether is not believed.

use crate::answer::Answer;
use crate::body::Body;
use crate::policy;
use crate::task::Mode;
use serde::Deserialize;

/// The limits in force. [`Capabilities::default`] is baseline: S0 and nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    pub mode: Mode,
    pub gzip: bool,
    pub max_page_visits: Option<usize>,
    pub max_tab_aggregates: Option<usize>,
    pub max_body_bytes: Option<usize>,
}

#[derive(Deserialize)]
struct Document {
    protocol: u64,
    features: Vec<String>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Limits {
    max_page_visits: Option<u64>,
    max_tab_aggregates: Option<u64>,
    max_body_bytes: Option<u64>,
}

impl Capabilities {
    /// `None`: this answer says nothing for good (a fault, a page); ask again in the next run.
    pub fn read(answer: &Answer) -> Option<Capabilities> {
        match answer.status {
            200 => {}
            // A page may be anybody's (a network that wants a sign-in): asked again in the next run.
            401 | 403 | 404 | 405 | 410 if Body::read(&answer.body) != Body::Html => {
                return Some(Capabilities::default());
            }
            _ => return None,
        }
        if !matches!(Body::read(&answer.body), Body::Object(_)) {
            return None;
        }
        let Ok(document) = serde_json::from_slice::<Document>(&answer.body) else {
            return Some(Capabilities::default());
        };
        let has = |feature: &str| document.features.iter().any(|it| it == feature);
        if document.protocol != 1 || !has("data.sync") {
            return Some(Capabilities::default());
        }
        let limit =
            |said: Option<u64>, least: usize| usize::try_from(said?).ok().filter(|limit| *limit >= least);
        Some(Capabilities {
            mode: Mode::Full,
            gzip: has("gzip"),
            max_page_visits: limit(document.limits.max_page_visits, 1),
            max_tab_aggregates: limit(document.limits.max_tab_aggregates, 1),
            max_body_bytes: limit(document.limits.max_body_bytes, policy::LEARNT_BYTES_LEAST),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Option<Capabilities> {
        Capabilities::read(&Answer { status, body: body.into(), ..Answer::default() })
    }

    #[test]
    fn the_contracts_document_is_read() {
        let body = r#"{"protocol":1,"features":["data.sync","idempotency","gzip","x"],
            "limits":{"max_page_visits":50,"max_tab_aggregates":1000,"max_body_bytes":100000},"more":1}"#;
        let read = read(200, body).unwrap();
        assert_eq!(read.mode, Mode::Full);
        assert!(read.gzip);
        assert_eq!((read.max_page_visits, read.max_body_bytes), (Some(50), Some(100_000)));
    }

    #[test]
    fn a_backend_without_the_route_is_baseline_and_a_fault_says_nothing() {
        assert_eq!(read(404, ""), Some(Capabilities::default()));
        assert_eq!(read(200, r#"{"hello":1}"#), Some(Capabilities::default()));
        assert_eq!(read(200, r#"{"protocol":2,"features":["data.sync"]}"#), Some(Capabilities::default()));
        for (status, body) in
            [(500, "{}"), (403, "<html>"), (200, "<html>"), (200, ""), (302, ""), (429, "{}")]
        {
            assert_eq!(read(status, body), None, "{status} {body}");
        }
    }

    #[test]
    fn limits_that_would_stop_all_work_are_not_believed() {
        let body =
            r#"{"protocol":1,"features":["data.sync"],"limits":{"max_page_visits":0,"max_body_bytes":10}}"#;
        let read = read(200, body).unwrap();
        assert_eq!((read.max_page_visits, read.max_body_bytes), (None, None));
    }
}
