//! What a user asks of the backend besides syncing: whether it is one, and that it deletes a site.

use crate::answer::{Reply, TransportError};
use crate::body::Body;
use crate::capabilities::Capabilities;
use crate::classify::{CheckVerdict, classify_check};
use crate::driver::Driver;
use crate::secret::Secret;
use crate::task::Mode;
use crate::why::{NotProof, Why};
use serde::Deserialize;
use serde_json::Value;

/// The feature by which a backend offers to delete.
const DELETES: &str = "browsing_data.delete";

/// What came of asking the backend to delete a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// So many records.
    Done(u64),
    /// This backend names no such feature.
    NotOffered,
    Failed(Why),
    /// It was asked, and whether it is done is not known: it may still be at it.
    Unknown(Why),
}

#[derive(Deserialize)]
struct Features {
    #[serde(default)]
    features: Vec<String>,
}

impl Driver {
    /// Asks what answers at this address: its features, none for a backend that names none, or why it is no
    /// backend, or cannot be reached.
    pub async fn probe(&self) -> Result<Vec<String>, Why> {
        let reply = self.capabilities().await;
        let answer = match &reply {
            Ok(answer) => answer,
            Err(error) => return Err(Why::NoAnswer { error: error.clone() }),
        };
        match Capabilities::read(answer) {
            Some(Capabilities { mode: Mode::Full, .. }) => {
                Ok(serde_json::from_slice::<Features>(&answer.body).map(|it| it.features).unwrap_or_default())
            }
            // Without the route it may still be one: then it wants a sign-in where another program has no page.
            _ => match classify_check(&self.check(&Secret::new("")).await) {
                CheckVerdict::Good | CheckVerdict::SignedOut => Ok(Vec::new()),
                CheckVerdict::Configuration(why) | CheckVerdict::Later { why, .. } => Err(why),
            },
        }
    }

    /// Deletes a site and everything under it, where the backend offers that.
    pub async fn erase_site(&self, site: &str, token: &Secret) -> Erasure {
        match self.probe().await {
            Ok(features) if features.iter().any(|feature| feature == DELETES) => {}
            Ok(_) => return Erasure::NotOffered,
            Err(why) => return Erasure::Failed(why),
        }
        let reply = self.delete_browsing_data(site, token).await;
        if let Ok(answer) = &reply
            && answer.status == 200
        {
            let Body::Object(object) = Body::read(&answer.body) else {
                return Erasure::Failed(Why::NotProof { answer: NotProof::NotAnObject });
            };
            return match object.find("deleted").and_then(Value::as_u64) {
                Some(deleted) => Erasure::Done(deleted),
                None => Erasure::Failed(Why::NotProof { answer: NotProof::NotAnObject }),
            };
        }
        let why = match classify_check(&reply) {
            CheckVerdict::SignedOut => Why::SessionExpired,
            CheckVerdict::Configuration(why) | CheckVerdict::Later { why, .. } => why,
            CheckVerdict::Good => Why::NotProof { answer: NotProof::NotAnObject },
        };
        if may_go_on(&reply) { Erasure::Unknown(why) } else { Erasure::Failed(why) }
    }
}

/// The backend, or something before it, was reached, and the answer is not its own last word.
fn may_go_on(reply: &Reply) -> bool {
    use TransportError::{AnswerTimeout, BodyTooLarge, ConnectionLost};
    match reply {
        Ok(answer) => matches!(answer.status, 408 | 500 | 502..=504),
        Err(error) => matches!(error, AnswerTimeout | BodyTooLarge | ConnectionLost),
    }
}
