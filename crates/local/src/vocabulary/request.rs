//! What is asked. Each variant names the type of its answer.

use super::session::Login;
use super::{Selection, VERSION};
use heyho_records::rules::Rule;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// One request to the agent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all_fields = "camelCase")]
pub enum Request {
    /// First of all. Answer: `{"version","program"}`.
    #[serde(rename = "hello")]
    Hello { version: u32, program: String },
    /// Answer: [`heyho_records::status::Status`].
    #[serde(rename = "status")]
    Status,
    /// Answer: [`heyho_records::status::Status`]; then a `status` event after each change, and all other events.
    #[serde(rename = "subscribe")]
    Subscribe,
    /// "A browser is connected through me": holds until this connection ends. Answer: null; then all events but
    /// `status`.
    #[serde(rename = "attach")]
    Attach { source: String },
    /// "I have committed records": the agent looks at the buffer. Answer: null.
    #[serde(rename = "nudge")]
    Nudge,
    /// Start a run now, or join the one that is running. With `wait`, answers when it has ended with
    /// [`super::RunSummary`]; else at once with null.
    #[serde(rename = "sync")]
    Sync {
        #[serde(default)]
        wait: bool,
    },
    /// End the run after the batch in flight. Answer: null.
    #[serde(rename = "stop")]
    Stop,
    /// Without a length until resumed. Answer: null.
    #[serde(rename = "pause")]
    Pause { seconds: Option<u64> },
    /// Answer: null.
    #[serde(rename = "resume")]
    Resume,
    /// Answer: [`super::SignedIn`].
    #[serde(rename = "login")]
    Login(Login),
    /// Answer: null.
    #[serde(rename = "logout")]
    Logout,
    /// Confirms an e-mail address by the code that was sent to it. Answer: null; then `login` works.
    #[serde(rename = "verify")]
    Verify {
        email: String,
        code: String,
        /// As in [`Login`]: at this address instead of the settings' one, which stays as it is.
        #[serde(default)]
        backend: Option<String>,
    },
    /// Asks for another code. Answer: null, whether the address is known or not.
    #[serde(rename = "verify.resend")]
    VerifyResend {
        email: String,
        #[serde(default)]
        backend: Option<String>,
    },
    /// Asks for a message with which a forgotten password is set anew. Answer: null, whether the address is
    /// known or not.
    #[serde(rename = "password.reset")]
    PasswordReset {
        email: String,
        #[serde(default)]
        backend: Option<String>,
    },
    /// Sets a new password by the code of that message. Answer: null; then `login` works. `not_offered` where the
    /// backend does this on its own pages only.
    #[serde(rename = "password.set")]
    PasswordSet {
        email: String,
        code: String,
        password: String,
        #[serde(default)]
        backend: Option<String>,
    },
    /// Records captured while nobody was signed in become the signed-in account's. Answer: [`super::Count`].
    #[serde(rename = "claim")]
    Claim,

    /// Answer: [`super::WaitingPage`].
    #[serde(rename = "waiting.list")]
    WaitingList {
        /// Only numbers greater than this one.
        #[serde(default)]
        after: i64,
        #[serde(default = "page")]
        limit: u32,
        /// Only where the title or the address has this in it.
        #[serde(default)]
        search: Option<String>,
    },
    /// Deleted before sending: by number, or all. Answer: [`super::Count`].
    #[serde(rename = "waiting.discard")]
    WaitingDiscard { which: Selection },
    /// Answer: array of [`super::Delivered`], newest first.
    #[serde(rename = "delivered")]
    Delivered,

    /// Answer: [`super::FailedPage`].
    #[serde(rename = "failed.list")]
    FailedList {
        /// Only numbers greater than this one.
        #[serde(default)]
        after: i64,
        #[serde(default = "page")]
        limit: u32,
        /// Only this reason code.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Answer: [`super::FailedRecord`], with `record`.
    #[serde(rename = "failed.show")]
    FailedShow { number: i64 },
    /// Answer: [`super::Count`].
    #[serde(rename = "failed.retry")]
    FailedRetry { which: Selection },
    /// Answer: [`super::Count`].
    #[serde(rename = "failed.discard")]
    FailedDiscard {
        which: Selection,
        /// Of those, only what had failed by then: what failed while somebody was asked was not seen by anybody.
        #[serde(default)]
        as_of: Option<Timestamp>,
    },
    /// Answer: [`super::Count`].
    #[serde(rename = "failed.keep")]
    FailedKeep { which: Selection },

    /// Answer: array of [`super::Run`], newest first.
    #[serde(rename = "history")]
    History {
        #[serde(default = "page")]
        limit: u32,
    },
    /// Answer: [`super::Timeline`].
    #[serde(rename = "timeline")]
    Timeline,

    /// Answer: [`super::Settings`].
    #[serde(rename = "config.get")]
    ConfigGet,
    /// Null takes the key out of the file, so that its default holds. Answer: [`super::Settings`].
    #[serde(rename = "config.set")]
    ConfigSet { key: String, value: Value },
    /// One more privacy rule; all others stay. Answer: [`super::Settings`].
    #[serde(rename = "rules.add")]
    RulesAdd { rule: Rule },
    /// The privacy rule that says exactly this. Answer: [`super::Settings`].
    #[serde(rename = "rules.remove")]
    RulesRemove { rule: Rule },
    /// Asks a backend what it is, before it is used. Answer: [`super::BackendTest`].
    #[serde(rename = "backend.test")]
    BackendTest { url: String },

    /// Everything that is kept, or only what failed, as `heyho export` writes it. Answer: [`super::Count`].
    #[serde(rename = "export")]
    Export {
        /// Absolute.
        path: PathBuf,
        #[serde(default)]
        failed: bool,
        /// An account's ref or e-mail address.
        #[serde(default)]
        account: Option<String>,
        /// Write over a file that is there.
        #[serde(default)]
        force: bool,
    },
    /// A site and everything under it, for good. Answer: [`super::Forgotten`].
    #[serde(rename = "forget")]
    Forget {
        domain: String,
        /// At the backend too, where it can.
        #[serde(default)]
        backend: bool,
    },
    /// A host that was told to forget a site: from now on it stores nothing that was captured of it before. Counts for
    /// what was attached on the same connection. Answer: null.
    #[serde(rename = "told")]
    Told { domain: String },
    /// Everything that is kept for an account, by its ref or e-mail address. Answer: [`super::Count`].
    #[serde(rename = "discard.account")]
    DiscardAccount { account: String },
    /// Every record here, of everybody, and all that is known of them. Sign-in and settings stay. Answer:
    /// [`super::Count`].
    #[serde(rename = "erase")]
    Erase,

    /// For a report: versions, counts, states, last errors; no addresses, tokens or e-mail. Answer: text.
    #[serde(rename = "diagnostics")]
    Diagnostics,
    /// What somebody should be told and stands now, once that is known: for whoever was not there when it was raised.
    /// Answer: array of [`super::Notice`].
    #[serde(rename = "alerts")]
    Alerts,
    /// The user has read that a damaged store was set aside (`recovered` in the status). Answer: null.
    #[serde(rename = "recovery.seen")]
    RecoverySeen,
    /// What only the agent can look at, for `heyho doctor`. Answer: array of [`super::Finding`].
    #[serde(rename = "checkup")]
    Checkup,
    /// Brings the app's window up. Answer: null, or the fault `no_window` from a headless agent.
    #[serde(rename = "open")]
    Open,
}

fn page() -> u32 {
    100
}

impl Request {
    pub fn hello(program: &str) -> Request {
        Request::Hello { version: VERSION, program: program.to_owned() }
    }

    /// The command word, for logs: a request itself may hold a password and is never logged.
    pub fn word(&self) -> &'static str {
        match self {
            Request::Hello { .. } => "hello",
            Request::Status => "status",
            Request::Subscribe => "subscribe",
            Request::Attach { .. } => "attach",
            Request::Nudge => "nudge",
            Request::Sync { .. } => "sync",
            Request::Stop => "stop",
            Request::Pause { .. } => "pause",
            Request::Resume => "resume",
            Request::Login(_) => "login",
            Request::Logout => "logout",
            Request::Verify { .. } => "verify",
            Request::VerifyResend { .. } => "verify.resend",
            Request::PasswordReset { .. } => "password.reset",
            Request::PasswordSet { .. } => "password.set",
            Request::Claim => "claim",
            Request::WaitingList { .. } => "waiting.list",
            Request::WaitingDiscard { .. } => "waiting.discard",
            Request::Delivered => "delivered",
            Request::FailedList { .. } => "failed.list",
            Request::FailedShow { .. } => "failed.show",
            Request::FailedRetry { .. } => "failed.retry",
            Request::FailedDiscard { .. } => "failed.discard",
            Request::FailedKeep { .. } => "failed.keep",
            Request::History { .. } => "history",
            Request::Timeline => "timeline",
            Request::ConfigGet => "config.get",
            Request::ConfigSet { .. } => "config.set",
            Request::RulesAdd { .. } => "rules.add",
            Request::RulesRemove { .. } => "rules.remove",
            Request::BackendTest { .. } => "backend.test",
            Request::Export { .. } => "export",
            Request::Forget { .. } => "forget",
            Request::Told { .. } => "told",
            Request::DiscardAccount { .. } => "discard.account",
            Request::Erase => "erase",
            Request::Diagnostics => "diagnostics",
            Request::Alerts => "alerts",
            Request::RecoverySeen => "recovery.seen",
            Request::Checkup => "checkup",
            Request::Open => "open",
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The word in logs is the word on the wire.
    #[test]
    fn a_request_is_called_what_it_is_sent_as() {
        let rich = json!({"id": 1, "version": 1, "program": "p", "source": "s", "email": "e", "password": "p",
            "code": "c", "which": "all", "number": 1, "key": "k", "value": 1, "url": "u",
            "rule": {"id": "r", "match": "host", "pattern": "p", "action": "drop"},
            "path": "/p", "domain": "d", "account": "a", "seconds": 1, "browser": "b"});
        for word in [
            "hello",
            "status",
            "subscribe",
            "attach",
            "nudge",
            "sync",
            "stop",
            "pause",
            "resume",
            "login",
            "logout",
            "verify",
            "verify.resend",
            "password.reset",
            "password.set",
            "claim",
            "waiting.list",
            "waiting.discard",
            "delivered",
            "failed.list",
            "failed.show",
            "failed.retry",
            "failed.discard",
            "failed.keep",
            "history",
            "timeline",
            "config.get",
            "config.set",
            "rules.add",
            "rules.remove",
            "backend.test",
            "export",
            "forget",
            "told",
            "discard.account",
            "erase",
            "diagnostics",
            "alerts",
            "recovery.seen",
            "checkup",
            "open",
        ] {
            let mut sent = rich.clone();
            sent["cmd"] = json!(word);
            let request: Request = serde_json::from_value(sent).unwrap();
            assert_eq!(request.word(), word);
            assert_eq!(serde_json::to_value(&request).unwrap()["cmd"], word);
            assert_eq!(format!("{request:?}"), word, "nothing else is ever logged");
        }
    }
}
