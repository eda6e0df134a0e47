//! Signing in.

use heyho_records::status::Account;
use serde::{Deserialize, Serialize};

/// Sign in, or register and sign in.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export, optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Login {
    pub email: String,
    pub password: String,
    /// Another backend than the configured one; it is written into `config.toml` once the sign-in worked.
    #[serde(default)]
    pub backend: Option<String>,
    #[serde(default)]
    pub register: bool,
    #[serde(default)]
    pub first_name: Option<String>,
    #[serde(default)]
    pub last_name: Option<String>,
    /// What becomes of records captured after a sign-out of another account: claimed by this one or not.
    #[serde(default)]
    pub claim: Option<bool>,
    /// Keep the password in the keyring and sign in again silently when the session ends: for backends whose
    /// sessions cannot be renewed (`status.shortSession`). Off until asked for.
    #[serde(default)]
    pub keep_password: Option<bool>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("backend", &self.backend)
            .field("register", &self.register)
            .finish_non_exhaustive()
    }
}

/// Who is signed in now, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct SignedIn {
    #[serde(flatten)]
    pub account: Account,
    /// Records that became this account's by signing in.
    #[serde(default)]
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub claimed: u64,
    /// Records that are nobody's still: see `claim`.
    #[serde(default)]
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub unclaimed: u64,
    /// What the user should know: the session lasts only until the agent ends.
    #[serde(default)]
    pub note: Option<String>,
}
