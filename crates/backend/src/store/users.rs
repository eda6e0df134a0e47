//! People: their address, their password, the account as a whole.

use super::{Result, SessionId};
use crate::clock::Millis;
use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct UserId(pub Uuid);

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct User {
    pub id: UserId,
    pub email: String,
}

/// An Argon2 hash as text. Not for logs.
#[derive(Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[derive(Debug, Clone)]
pub struct NewUser {
    pub id: UserId,
    /// Already in its one spelling: see `auth::address`.
    pub email: String,
    pub password_hash: PasswordHash,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub feed_epoch: String,
    /// None: the address is still to be confirmed.
    pub confirmed_at: Option<Millis>,
    pub now: Millis,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Created {
    Created,
    EmailTaken,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Credentials {
    #[sqlx(flatten)]
    pub user: User,
    pub password_hash: PasswordHash,
    pub confirmed: bool,
}

/// What is kept of a user beside records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct AccountData {
    pub id: Uuid,
    pub email: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub created_at: Millis,
    pub confirmed_at: Option<Millis>,
    pub version: i64,
    pub feed_epoch: String,
    #[sqlx(skip)]
    pub devices: Vec<Device>,
    #[sqlx(skip)]
    pub sessions: Vec<SessionData>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Device {
    pub id: String,
    pub first_seen_at: Millis,
    pub last_seen_at: Millis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct SessionData {
    pub created_at: Millis,
    pub expires_at: Millis,
    pub ended_at: Option<Millis>,
}

#[async_trait]
pub trait Users {
    async fn create_user(&self, user: NewUser) -> Result<Created>;
    async fn credentials(&self, email: &str) -> Result<Option<Credentials>>;
    /// A new password; all sessions but `keep` end with it.
    async fn change_password(
        &self,
        user: UserId,
        new: PasswordHash,
        keep: SessionId,
        now: Millis,
    ) -> Result<()>;
    /// A new password by who runs the backend: all sessions and codes end, and the address counts as confirmed. False:
    /// nobody has this address.
    async fn replace_password(&self, email: &str, new: PasswordHash, now: Millis) -> Result<bool>;
    /// Every row of the user is gone.
    async fn delete_user(&self, user: UserId) -> Result<()>;
    /// The account without its records, for an export.
    async fn account(&self, user: UserId) -> Result<Option<AccountData>>;
}
