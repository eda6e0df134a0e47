//! Whose the records are.
//!
//! An account is (backend base URL, the backend's user id); its ref is a digest of both, so that it stays the
//! same when the buffer is made anew. Who is signed in is written here by the agent and read by the host in
//! the transaction that inserts.

use crate::error::Result;
use crate::open::Buffer;
use crate::status::{LAST_ANSWERED, LAST_CONFIRMED};
use sha2::{Digest, Sha256};
use sqlx::{Row, SqliteConnection};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountId(pub i64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub r#ref: String,
    pub backend: String,
    pub user_id: String,
    pub email: String,
}

/// Somebody who has just proved who they are to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub backend: String,
    pub user_id: String,
    pub email: String,
    /// Claim also what was captured after another account had signed out: see [`Buffer::claim`].
    pub claim_others: bool,
}

impl SignedIn {
    /// Known before anything is stored, so that tokens can be stored with it first.
    pub fn account_ref(&self) -> String {
        account_ref(&self.backend, &self.user_id)
    }
}

/// Who is signed in, and who was last.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub account: Option<i64>,
    pub last_ref: Option<String>,
}

pub(crate) async fn session(connection: &mut SqliteConnection) -> Result<Session> {
    let rows = sqlx::query(
        "SELECT m.key, a.account, a.ref FROM meta m JOIN account a ON a.account = CAST(m.value AS INTEGER) \
         WHERE m.key IN ('signed_in', 'last_signed_in')",
    )
    .fetch_all(connection)
    .await?;
    let mut session = Session::default();
    for row in rows {
        match row.try_get::<&str, _>(0)? {
            "signed_in" => session.account = Some(row.try_get(1)?),
            _ => session.last_ref = Some(row.try_get(2)?),
        }
    }
    Ok(session)
}

/// Of a row `r` of `record`: whether it is of the account that is signed in.
macro_rules! own {
    () => {
        "ifnull(r.account = (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'signed_in'), 0)"
    };
}
pub(crate) use own;

/// Key in `meta`, kept by the agent: by the refs of accounts, as members of an object, what it has counted of their
/// backends.
pub const BLAMED: &str = "blamed";

/// In the place of a ref: nobody claims it without being asked, whoever is asked may.
pub(crate) const WHEN_ASKED: &str = "imported";

async fn claim(tx: &mut SqliteConnection, account: i64) -> Result<u64> {
    Ok(sqlx::query(
        "UPDATE record SET account = ?1, claim_ref = NULL WHERE account IS NULL AND (claim_ref IS NULL \
         OR claim_ref = ?2 OR claim_ref IN (SELECT ref FROM account))",
    )
    .bind(account)
    .bind(WHEN_ASKED)
    .execute(tx)
    .await?
    .rows_affected())
}

fn account_ref(backend: &str, user_id: &str) -> String {
    let digest = Sha256::digest(format!("{backend}\n{user_id}").as_bytes());
    digest.iter().take(12).map(|b| format!("{b:02x}")).collect()
}

impl Buffer {
    /// Makes this account the one that captured records are bound to, and claims what is its own. Says which
    /// account it is, and how many records it claimed. An account, or everything, that is half erased goes to its end before.
    pub async fn sign_in(&self, who: &SignedIn, now: i64) -> Result<(Account, u64)> {
        let mut tx = self.write_unowed().await?;
        let before = session(&mut tx).await?;
        let first = before.last_ref.is_none();
        let r#ref = account_ref(&who.backend, &who.user_id);
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO account (ref, backend, user_id, email, added_at) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (backend, user_id) DO UPDATE SET email = excluded.email RETURNING account",
        )
        .bind(&r#ref)
        .bind(&who.backend)
        .bind(&who.user_id)
        .bind(&who.email)
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        let claimed = sqlx::query(
            "UPDATE record SET account = ?1, claim_ref = NULL WHERE account IS NULL \
             AND (claim_ref = ?2 OR (claim_ref IS NULL AND ?3))",
        )
        .bind(id)
        .bind(&r#ref)
        .bind(first)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let asked = if who.claim_others { claim(&mut tx, id).await? } else { 0 };
        if before.last_ref.as_ref() != Some(&r#ref) {
            // Another account's confirmation says nothing about this one.
            for key in [LAST_CONFIRMED, LAST_ANSWERED] {
                sqlx::query("DELETE FROM meta WHERE key = ?").bind(key).execute(&mut *tx).await?;
            }
        }
        for key in ["signed_in", "last_signed_in"] {
            set_meta(&mut tx, key, &id.to_string()).await?;
        }
        tx.commit().await?;
        let account = Account {
            id: AccountId(id),
            r#ref,
            backend: who.backend.clone(),
            user_id: who.user_id.clone(),
            email: who.email.clone(),
        };
        Ok((account, claimed + asked))
    }

    /// Gives this account what is unclaimed, because the user says so. What was captured under an account that
    /// is not known here, or whose account cannot be read any more, stays nobody's.
    pub async fn claim(&self, account: AccountId) -> Result<u64> {
        let mut tx = self.write_unowed().await?;
        let claimed = claim(&mut tx, account.0).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Everybody whose records are, or were, here.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let rows = sqlx::query("SELECT account, ref, backend, user_id, email FROM account ORDER BY account")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Account {
                    id: AccountId(row.try_get(0)?),
                    r#ref: row.try_get(1)?,
                    backend: row.try_get(2)?,
                    user_id: row.try_get(3)?,
                    email: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// From here on records are unclaimed. Nothing that is bound changes.
    pub async fn sign_out(&self) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM meta WHERE key = 'signed_in'").execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Who is signed in.
    pub async fn signed_in(&self) -> Result<Option<Account>> {
        let mut connection = self.pool.acquire().await?;
        let Some(id) = session(&mut connection).await?.account else { return Ok(None) };
        let row = sqlx::query("SELECT ref, backend, user_id, email FROM account WHERE account = ?")
            .bind(id)
            .fetch_one(&mut *connection)
            .await?;
        Ok(Some(Account {
            id: AccountId(id),
            r#ref: row.try_get(0)?,
            backend: row.try_get(1)?,
            user_id: row.try_get(2)?,
            email: row.try_get(3)?,
        }))
    }

    /// A small fact about this installation, such as its device id.
    pub async fn meta(&self, key: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?)
    }

    pub async fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        let mut tx = self.write().await?;
        set_meta(&mut tx, key, value).await?;
        tx.commit().await
    }
}

pub(crate) async fn set_meta(tx: &mut SqliteConnection, key: &str, value: &str) -> Result<()> {
    sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")
        .bind(key)
        .bind(value)
        .execute(tx)
        .await?;
    Ok(())
}
