//! `forget`, `discard.account`, `erase`: what the user wants kept nowhere.
//!
//! A site is forgotten in this order, so that dying anywhere leaves nothing that comes back: hosts and extensions are
//! told first (what is on its way and in their outboxes would arrive again) and hosts say that they have heard, then
//! the buffer, the agent's memory, and the backend where it is asked for. Of an account, and of everything, what a
//! browser has not handed over yet is not reached: it arrives when it does, which whoever asks is told.

use super::{Service, buffer};
use crate::tokenholder::{Access, Tokenholder};
use heyho_buffer::Erased;
use heyho_local::vocabulary::{Count, Fault, FaultCode, Forgotten};
use heyho_records::glance::host_name;
use heyho_records::words::count;
use heyho_sync::erase::Erasure;
use heyho_sync::policy;

impl Service {
    pub(super) async fn forget(&self, domain: &str, backend: bool) -> Result<Forgotten, Fault> {
        let site = site(domain)?;
        let all_heard = self.live.tell_to_forget(&site).await;
        self.live.erasing();
        let erased = self.buffer.forget(&site).await.map_err(buffer)?;
        self.live.forget_delivered(&site);
        self.live.touch();
        let there = if backend { self.forget_at_backend(&site).await } else { Err(String::new()) };
        Ok(Forgotten {
            waiting: erased.waiting,
            failed: erased.failed,
            changed: erased.changed,
            backend: there.as_ref().ok().copied(),
            text: told(&site, &erased, there, all_heard, &self.closed_browsers().await),
        })
    }

    /// Browsers that have handed records over and could not be told: what they still hold comes with them.
    async fn closed_browsers(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .status()
            .await
            .browsers
            .into_iter()
            .filter(|one| !one.connected)
            .map(|one| one.name)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// How many were deleted there, or in a sentence why none were.
    async fn forget_at_backend(&self, site: &str) -> Result<u64, String> {
        let nobody = || "The backend was not asked: nobody is signed in.".to_owned();
        let account = self.buffer.signed_in().await.map_err(|e| format!("{e}."))?.ok_or_else(nobody)?;
        let stored = self.keeper.load().await.map_err(|e| format!("{e}."))?.ok_or_else(nobody)?;
        if stored.account_ref != account.r#ref || account.backend != self.config().backend.url.as_str() {
            return Err(nobody());
        }
        let driver = super::driver(&self.config(), &self.device_id).map_err(|fault| fault.text)?;
        let mut tokens = Tokenholder::new(self.keeper.clone(), self.clock.clone(), stored);
        let token = match tokens.access(&driver).await {
            Access::Token(token) => token,
            Access::NotNow(why, _) => {
                return Err(format!("What the backend has is still there. {}", why.sentence()));
            }
        };
        // What is on its way there now would arrive after it was deleted. What sets out later is not of this site.
        let on_the_way = tokio::time::timeout(policy::REQUEST_TIMEOUT, self.live.nothing_on_the_way());
        let Ok(_nothing) = on_the_way.await else {
            let text = "Records are on their way to the backend, and it does not answer: ask again later.";
            return Err(text.to_owned());
        };
        match driver.erase_site(site, &token).await {
            Erasure::Done(deleted) => Ok(deleted),
            Erasure::NotOffered => {
                Err("This backend cannot delete a site: what it has of it is still there.".to_owned())
            }
            Erasure::Failed(why) => Err(format!("What the backend has is still there. {}", why.sentence())),
        }
    }

    pub(super) async fn discard_account(&self, account: &str) -> Result<Count, Fault> {
        let accounts = self.buffer.accounts().await.map_err(buffer)?;
        if !accounts.iter().any(|known| known.email == account || known.r#ref == account) {
            let known: Vec<&str> = accounts.iter().map(|known| known.email.as_str()).collect();
            let text = match known.is_empty() {
                true => format!("nothing is kept here for {account}, nor for anybody"),
                false => format!("nothing is kept here for {account}; there is: {}", known.join(", ")),
            };
            return Err(Fault::new(FaultCode::NotFound, text));
        }
        self.live.erasing();
        let erased = self.buffer.discard_account(account).await.map_err(buffer)?;
        self.live.forget_all_delivered();
        self.live.touch();
        Ok(Count { count: erased.records() })
    }

    pub(super) async fn erase(&self) -> Result<Count, Fault> {
        self.live.erasing();
        let erased = self.buffer.erase_everything().await.map_err(buffer)?;
        self.live.forget_all_delivered();
        self.live.change(|live| live.recovered = None);
        Ok(Count { count: erased.records() })
    }
}

/// The name of a site, or what would be one.
fn site(domain: &str) -> Result<String, Fault> {
    host_name(domain)
        .ok_or_else(|| Fault::new(FaultCode::Usage, format!("{domain:?} is no domain; such as example.com")))
}

fn told(
    site: &str,
    erased: &Erased,
    backend: Result<u64, String>,
    all_heard: bool,
    closed: &[String],
) -> String {
    let mut text = match erased.records() {
        0 => format!("Nothing about {site} was kept here."),
        n => format!("{} about {site} deleted here.", count(n, "record")),
    };
    if erased.changed > 0 {
        text.push_str(&format!(
            " {} of other sites no longer {} it.",
            count(erased.changed, "record"),
            if erased.changed == 1 { "names" } else { "name" }
        ));
    }
    if erased.copies > 0 {
        text.push_str(&format!(" {} of the store deleted.", count(erased.copies, "old copy")));
    }
    if !erased.log_emptied {
        text.push_str(
            " The last traces go by themselves when no other program is in the way and the disk has room.",
        );
    }
    match backend {
        Ok(n) => text.push_str(&format!(" {} deleted at the backend.", count(n, "record"))),
        Err(why) if why.is_empty() => {}
        Err(why) => text.push_str(&format!(" {why}")),
    }
    if !all_heard {
        text.push_str(" A browser that is connected did not answer: forget the site again.");
    }
    if !closed.is_empty() {
        text.push_str(&format!(
            " Not reached: {}. What a closed browser still holds of {site} comes when it is started; forget the \
             site again then.",
            closed.join(", ")
        ));
    }
    text
}
