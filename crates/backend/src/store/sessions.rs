//! Sessions: families of refresh tokens, of which one is current.

use super::{Result, User, UserId};
use crate::clock::Millis;
use crate::limits::REFRESH_GRACE;
use async_trait::async_trait;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct SessionId(pub Uuid);

/// SHA-256 of a refresh token.
pub type TokenHash = [u8; 32];

#[derive(Debug, Clone)]
pub struct NewSession {
    pub id: SessionId,
    pub user: UserId,
    pub token: TokenHash,
    pub now: Millis,
    pub expires_at: Millis,
}

/// Why a session ended: the numbers of the table `session_ends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    SignedOut = 1,
    SignedOutEverywhere = 2,
    PasswordChanged = 3,
    RefreshTokenReused = 4,
    PasswordReset = 5,
}

/// A refresh token is presented, with the successor it would get.
#[derive(Debug, Clone)]
pub struct Presented {
    pub token: TokenHash,
    /// The session that the token proves to be of: it may have been spent and forgotten.
    pub session: Option<SessionId>,
    pub successor: TokenHash,
    /// The successor itself, readable only with the presented token.
    pub successor_sealed: [u8; 32],
    pub now: Millis,
    pub expires_at: Millis,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The token is spent and the successor is current.
    Rotated { user: User, session: SessionId },
    /// The token was spent a moment ago and its successor is unused: the same successor again.
    Again { user: User, session: SessionId, successor_sealed: [u8; 32] },
    /// A spent token: the whole family has ended.
    Reused,
    /// Nobody's token, or one whose session is over.
    Unknown,
}

/// What is known of a token whose session is alive.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct KnownToken {
    #[sqlx(flatten)]
    pub user: User,
    pub session_id: SessionId,
    pub spent_at: Option<Millis>,
    pub successor_sealed: Option<Vec<u8>>,
    /// None: it has no successor.
    pub successor_unused: Option<bool>,
}

impl KnownToken {
    /// The sealed successor, if a repeated question still gets it.
    pub fn again(&self, now: Millis) -> Option<&[u8]> {
        let spent_at = self.spent_at?;
        let sealed = self.successor_sealed.as_deref()?;
        (self.successor_unused == Some(true) && now - spent_at <= REFRESH_GRACE).then_some(sealed)
    }
}

#[async_trait]
pub trait Sessions {
    /// False: there is no such account, or it is ending.
    async fn open_session(&self, session: NewSession) -> Result<bool>;
    /// Whose session this is, if it has not ended.
    async fn session_user(&self, session: SessionId, now: Millis) -> Result<Option<User>>;
    async fn rotate(&self, presented: Presented) -> Result<Rotation>;
    async fn end_session(&self, session: SessionId, why: SessionEnd, now: Millis) -> Result<()>;
    async fn end_all_sessions(&self, user: UserId, now: Millis) -> Result<()>;
}
