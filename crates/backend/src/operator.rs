//! What who runs the backend does beside it: an account for somebody, a new password for somebody who forgot theirs.
//!
//! Both work on the database, whether a backend serves it at that moment or not.

use crate::auth::address;
use crate::auth::password::Passwords;
use crate::auth::routes::{new_password, new_user};
use crate::config::Config;
use crate::store::{Created, Store};
use anyhow::bail;

/// Makes an account whose address counts as confirmed.
pub async fn add_user(config: &Config, email: &str, password: String) -> anyhow::Result<()> {
    let (email, password) = (address::parse(email)?, new_password("password", Some(password))?);
    let hash = Passwords::new()?.hash(password).await?;
    let now = config.clock.now();
    let user = new_user(&email, hash, Some(now), now)?;
    let made = beside(config, async |store| Ok(store.create_user(user).await?)).await?;
    if made == Created::EmailTaken {
        bail!("{email} already has an account; `heyho-backend reset-password` gives it a new password");
    }
    Ok(())
}

/// Gives an account a new password and ends all its sessions.
pub async fn reset_password(config: &Config, email: &str, password: String) -> anyhow::Result<()> {
    let (email, password) = (address::parse(email)?, new_password("password", Some(password))?);
    let hash = Passwords::new()?.hash(password).await?;
    let now = config.clock.now();
    if !beside(config, async |store| Ok(store.replace_password(&email, hash, now).await?)).await? {
        bail!("no account has the address {email}");
    }
    Ok(())
}

async fn beside<T>(
    config: &Config,
    work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let store = crate::open_store(config).await?;
    let done = work(&*store).await;
    store.close().await;
    done
}
