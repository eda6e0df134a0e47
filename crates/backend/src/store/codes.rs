//! Codes sent by e-mail: kept hashed, for a while, for a few attempts, at most one a purpose.
//!
//! An attempt is counted before the code is compared, so no number of requests at once gets more of them; and a code
//! is spent in the transaction of what it allows, by its hash, so that it works once.

use super::{PasswordHash, Result, UserId};
use crate::clock::Millis;
use async_trait::async_trait;

/// What a code is for: the numbers of the table `code_purposes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    ConfirmAddress = 1,
    ResetPassword = 2,
}

#[derive(Debug, Clone)]
pub struct Code {
    pub user: UserId,
    pub purpose: Purpose,
    /// Argon2: a copied database does not tell the code before it expires.
    pub hash: PasswordHash,
    pub now: Millis,
    pub expires_at: Millis,
}

/// A code that may be compared: this attempt is counted.
#[derive(Debug, sqlx::FromRow)]
pub struct Tried {
    pub user_id: UserId,
    pub hash: PasswordHash,
}

#[async_trait]
pub trait Codes {
    /// Takes the place of an earlier code of the same purpose.
    async fn put_code(&self, code: Code) -> Result<()>;
    /// The code of this address, if it has one that is alive and has attempts left.
    async fn try_code(&self, email: &str, purpose: Purpose, now: Millis) -> Result<Option<Tried>>;
    /// Spends the code with this hash and confirms the address; false if somebody else spent it.
    async fn confirm_address(&self, user: UserId, code: &PasswordHash, now: Millis) -> Result<bool>;
    /// Spends the code with this hash, sets the password and ends all sessions. The address is confirmed by it too.
    /// False if somebody else spent the code.
    async fn reset_password(
        &self,
        user: UserId,
        code: &PasswordHash,
        new: PasswordHash,
        now: Millis,
    ) -> Result<bool>;
}
