//! The network and the power, as they change: what [`heyho_sync::surroundings`] decides by.
//!
//! On Linux NetworkManager says whether there is a network and what it costs, by signals; where there is none,
//! the routing tables are looked at every few seconds and nothing is known of the price. The power is what
//! `/sys/class/power_supply` says. What cannot be known holds nothing back. Elsewhere nothing is known
//! (docs/platforms.md): a run then begins at its usual time.

use heyho_sync::surroundings::Surroundings;
use tokio::sync::watch;

/// The surroundings, and a wake-up when they change.
#[derive(Debug, Clone)]
pub struct Around(watch::Receiver<Surroundings>);

impl Around {
    /// Somebody else says what they are: tests.
    pub fn told(by: watch::Receiver<Surroundings>) -> Around {
        Around(by)
    }

    pub fn now(&self) -> Surroundings {
        *self.0.borrow()
    }

    /// Ends with the next change; never, where nobody looks any more. Dropped at any moment it has taken nothing.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Looks around for as long as the task that is returned runs.
pub fn look_around() -> (Around, impl Future<Output = ()> + Send) {
    let (tell, hear) = watch::channel(Surroundings::default());
    (Around(hear), platform::look(tell))
}

#[cfg(target_os = "linux")]
mod platform {
    pub use super::linux::look;
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::{Surroundings, watch};

    pub async fn look(tell: watch::Sender<Surroundings>) {
        tell.closed().await;
    }
}

#[cfg(target_os = "linux")]
mod linux;
