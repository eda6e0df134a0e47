//! What who runs the backend does beside it: an account for somebody, a new password for somebody who forgot theirs.
//!
//! Both work on the database, whether a backend serves it at that moment or not.

use crate::auth::address;
use crate::auth::password::Passwords;
use crate::auth::routes::{new_password, new_user};
use crate::config::{Config, Database};
use crate::store::{Created, Store};
use anyhow::bail;

/// Makes an account whose address counts as confirmed, and says so.
pub async fn add_user(config: &Config, email: &str, password: String) -> anyhow::Result<String> {
    let (email, password) = (address::parse(email)?, new_password("password", Some(password))?);
    let hash = Passwords::new()?.hash(password).await?;
    let now = config.clock.now();
    let user = new_user(&email, hash, Some(now), now)?;
    let made = beside(config, async |store| Ok(store.create_user(user).await?)).await?;
    if made == Created::EmailTaken {
        bail!("{email} already has an account; `heyho-backend reset-password` gives it a new password");
    }
    Ok(format!("{email} has an account now, in {}", config.database.name()))
}

/// Gives an account a new password and ends all its sessions.
pub async fn reset_password(config: &Config, email: &str, password: String) -> anyhow::Result<String> {
    let (email, password) = (address::parse(email)?, new_password("password", Some(password))?);
    let hash = Passwords::new()?.hash(password).await?;
    let now = config.clock.now();
    if !beside(config, async |store| Ok(store.replace_password(&email, hash, now).await?)).await? {
        bail!("no account has the address {email}");
    }
    Ok(format!("{email} has a new password now, and its sessions have ended"))
}

async fn beside<T>(
    config: &Config,
    work: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // A slip in the database's name would make another one, that nothing serves.
    if let Database::Sqlite(path) = &config.database
        && !path.exists()
    {
        let name = config.database.name();
        bail!(
            "there is no database at {name}: `heyho-backend serve` makes it; another one is named with --database or \
             HEYHO_DATABASE_URL"
        );
    }
    let store = crate::open_store(config).await?;
    let done = work(&*store).await;
    store.close().await;
    done
}
