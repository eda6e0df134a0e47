//! `forget`, `discard.account`, `erase`: what the user wants kept nowhere.
//!
//! A site is forgotten in this order, so that dying anywhere leaves nothing that comes back: hosts and extensions are
//! told first (what is on its way and in their outboxes would arrive again) and hosts say that they have heard, then
//! the buffer, the agent's memory, and the backend where it is asked for. An agent that has just started first lets the
//! hosts find it that were there before; for one that comes while the buffer forgets it forgets once more. Of an
//! account, and of everything, what a browser has not handed over yet is not reached: it arrives when it does, which
//! whoever asks is told.

use super::{Service, buffer};
use crate::forgetting::Reach;
use crate::tokenholder::{Access, Tokenholder};
use heyho_buffer::{Asked, BufferError, Erased};
use heyho_local::presence::{self, FOUND_WITHIN};
use heyho_local::vocabulary::{Count, Fault, FaultCode, Forgotten};
use heyho_records::glance::host_name;
use heyho_records::words::count;
use heyho_sync::erase::Erasure;
use heyho_sync::policy;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{timeout, timeout_at};

/// A host that is storing records hears after its commit.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// In each of them another host has come; one that comes and goes without end is not waited for.
const MOST_ROUNDS: usize = 3;
/// How often it is looked which hosts run.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// The names of browsers that were not reached.
#[derive(Debug, Default)]
struct Missed {
    closed: BTreeSet<String>,
    /// Connected, and gave no answer.
    silent: BTreeSet<String>,
}

impl Service {
    pub(super) async fn forget(&self, domain: &str, backend: bool) -> Result<Forgotten, Fault> {
        let site = site(domain)?;
        self.hosts_have_found_us().await;
        let forgetting = self.live.begin_to_forget(&site);
        forgetting.heard(TOLD_WITHIN).await;
        // Before the buffer as well as after it: one that fails there is finished later, and nobody comes here for that.
        self.live.forget_delivered(&site);
        let mut erased = Erased::default();
        for _ in 0..MOST_ROUNDS {
            let told = forgetting.told();
            self.live.erasing();
            let round = self.as_it_stands(Asked::Site(&site), self.buffer.forget(&site).await).await;
            let round = round.map_err(|fault| if backend { not_asked(fault) } else { fault })?;
            erased = Erased {
                waiting: erased.waiting + round.waiting,
                failed: erased.failed + round.failed,
                changed: erased.changed + round.changed,
                copies: erased.copies + round.copies,
                log_emptied: round.log_emptied,
            };
            if forgetting.told() == told {
                break;
            }
            forgetting.heard(TOLD_WITHIN).await;
        }
        self.live.forget_delivered(&site);
        let missed = self.missed(&forgetting.reach()).await;
        drop(forgetting);
        self.live.touch();
        let there = if backend { self.forget_at_backend(&site).await } else { Err(String::new()) };
        Ok(Forgotten {
            waiting: erased.waiting,
            failed: erased.failed,
            changed: erased.changed,
            backend: there.as_ref().ok().copied(),
            text: told(&site, &erased, there, &missed),
            closed: missed.closed.into_iter().collect(),
            silent: missed.silent.into_iter().collect(),
        })
    }

    /// Each host that runs is attached, or has had the time for it.
    async fn hosts_have_found_us(&self) {
        let all = async {
            // Counted anew now and then: one that ends without having come is not waited for.
            loop {
                let running = presence::running(&self.paths.hosts());
                if timeout(COUNT_EVERY, self.live.hosts().gathered(running)).await.is_ok() {
                    return;
                }
            }
        };
        let _ = timeout_at(self.started + FOUND_WITHIN, all).await;
    }

    /// Browsers that have handed records over and were not reached: what they still hold comes with them.
    async fn missed(&self, reach: &Reach) -> Missed {
        let interval = self.config().sync.interval;
        let Ok(known) = self.buffer.status(interval, self.clock.now_ms()).await else {
            return Missed::default();
        };
        let mut missed = Missed::default();
        for (browser, source) in known.status.browsers.into_iter().zip(&known.sources) {
            if reach.silent.contains(source) {
                missed.silent.insert(browser.name);
            } else if !reach.reached.contains(source) {
                missed.closed.insert(browser.name);
            }
        }
        // One that has handed nothing over yet has no name here.
        if missed.silent.is_empty() && !reach.silent.is_empty() {
            missed.silent.insert("a browser".to_owned());
        }
        missed
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
            Erasure::Unknown(why) => Err(format!(
                "The backend has not said that it is done; it may still be deleting. {}",
                why.sentence()
            )),
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
        let done =
            self.as_it_stands(Asked::Account(account), self.buffer.discard_account(account).await).await;
        if has_begun(&done) {
            self.live.forget_all_delivered();
        }
        self.live.touch();
        Ok(Count { count: done?.records() })
    }

    pub(super) async fn erase(&self) -> Result<Count, Fault> {
        self.live.erasing();
        let done = self.as_it_stands(Asked::Everything, self.buffer.erase_everything().await).await;
        if has_begun(&done) {
            self.live.forget_all_delivered();
            // The copies go before anything else.
            self.live.change(|live| live.recovered = None);
        }
        self.live.touch();
        Ok(Count { count: done?.records() })
    }

    /// An attempt that failed may have begun: then it is finished by itself, and nobody is told that nothing was changed.
    async fn as_it_stands(
        &self,
        asked: Asked<'_>,
        done: Result<Erased, BufferError>,
    ) -> Result<Erased, Fault> {
        let error = match done {
            Ok(erased) => return Ok(erased),
            Err(error) => error,
        };
        if self.buffer.has_begun(asked).await.unwrap_or(true) {
            let text = format!(
                "It has begun: the companion finishes it by itself as soon as that is possible, and sends nothing until \
                 then. What cut it short: {error}."
            );
            return Err(Fault::new(FaultCode::Begun, text));
        }
        Err(buffer(error))
    }
}

/// Who finishes it deletes what is here and no more.
fn not_asked(fault: Fault) -> Fault {
    match fault.code {
        FaultCode::Begun => {
            Fault::new(fault.code, fault.text + " The backend was not asked: forget the site once more.")
        }
        _ => fault,
    }
}

/// And perhaps is not finished; nobody comes back here for that.
fn has_begun(done: &Result<Erased, Fault>) -> bool {
    done.as_ref().err().is_none_or(|fault| fault.code == FaultCode::Begun)
}

/// The name of a site, or what would be one.
fn site(domain: &str) -> Result<String, Fault> {
    host_name(domain).ok_or_else(|| {
        Fault::new(FaultCode::BadData, format!("{domain:?} is no domain; such as example.com"))
    })
}

fn told(site: &str, erased: &Erased, backend: Result<u64, String>, missed: &Missed) -> String {
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
    let names = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if !missed.silent.is_empty() {
        text.push_str(&format!(
            " Connected, but without an answer: {}. Forget the site again; where that does not help, start it anew.",
            names(&missed.silent)
        ));
    }
    if !missed.closed.is_empty() {
        text.push_str(&format!(
            " Not reached: {}. What a closed browser still holds of {site} comes when it is started; forget the \
             site again then.",
            names(&missed.closed)
        ));
    }
    text
}
