//! Passwords: Argon2id with the parameters RFC 9106 and OWASP agree on (19 MiB, 2 passes, 1 lane).
//!
//! Hashing takes tens of milliseconds and 19 MiB, so it runs on the blocking threads, at most one per core at a
//! time. An unknown address costs the same as a known one: it is checked against a hash that nothing matches.

use crate::clock;
use crate::store::PasswordHash;
use anyhow::{Context as _, anyhow};
use argon2::password_hash::{PasswordHash as Parsed, SaltString};
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use std::sync::Arc;
use tokio::sync::Semaphore;

#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    nobody: Arc<str>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    pub fn new() -> anyhow::Result<Passwords> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let unguessable = clock::random_bytes::<32>()?;
        Ok(Passwords { turns: Arc::new(Semaphore::new(cores)), nobody: hash(&unguessable)?.0.into() })
    }

    pub async fn hash(&self, password: String) -> anyhow::Result<PasswordHash> {
        self.blocking(move || hash(password.as_bytes())).await
    }

    /// Whether the password is the one of `stored`; without a stored hash never, after the same work.
    pub async fn verify(&self, password: String, stored: Option<PasswordHash>) -> anyhow::Result<bool> {
        let nobody = self.nobody.clone();
        self.blocking(move || {
            let known = stored.is_some();
            let text = stored.as_ref().map_or(&*nobody, |hash| &hash.0);
            let parsed = Parsed::new(text).map_err(|e| anyhow!("a stored password hash: {e}"))?;
            let fits = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
            Ok(known && fits)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let turn = self.turns.clone().acquire_owned().await.context("passwords")?;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .context("passwords")?
    }
}

fn hash(password: &[u8]) -> anyhow::Result<PasswordHash> {
    let salt = SaltString::encode_b64(&clock::random_bytes::<16>()?).map_err(|e| anyhow!("a salt: {e}"))?;
    let hash =
        Argon2::default().hash_password(password, &salt).map_err(|e| anyhow!("hashing a password: {e}"))?;
    Ok(PasswordHash(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_hash_and_nothing_else_does() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(stored.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("correct horsf".into(), Some(stored)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }
}
