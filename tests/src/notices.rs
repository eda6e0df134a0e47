//! A desktop's notifications: owns `org.freedesktop.Notifications` on the world's bus and keeps what it is shown.

use crate::desktop;
use crate::eventually::{SOON, eventually};
use crate::world::World;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use zbus::zvariant::OwnedValue;
use zbus::{Connection, interface};

#[derive(Debug, Clone, Default)]
struct Server {
    shown: Arc<Mutex<Vec<Notice>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub title: String,
    pub text: String,
}

#[interface(name = "org.freedesktop.Notifications")]
impl Server {
    fn get_capabilities(&self) -> Vec<&str> {
        vec!["body", "actions"]
    }

    fn get_server_information(&self) -> (&str, &str, &str, &str) {
        ("end-to-end", "HeyHo", "1", "1.2")
    }

    #[expect(clippy::too_many_arguments, reason = "the interface has so many")]
    fn notify(
        &self,
        _app: &str,
        _replaces: u32,
        _icon: &str,
        title: &str,
        text: &str,
        _actions: Vec<&str>,
        _hints: HashMap<&str, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.push(Notice { title: title.to_owned(), text: text.to_owned() });
        u32::try_from(shown.len()).unwrap_or(u32::MAX)
    }

    fn close_notification(&self, _id: u32) {}
}

#[derive(Debug)]
pub struct Notices {
    _bus: Connection,
    server: Server,
}

impl Notices {
    /// To be there before the app starts.
    pub async fn start(world: &World) -> Result<Notices> {
        let bus = desktop::connect(world).await?;
        let server = Server::default();
        bus.object_server().at("/org/freedesktop/Notifications", server.clone()).await?;
        bus.request_name("org.freedesktop.Notifications").await?;
        Ok(Notices { _bus: bus, server })
    }

    pub fn shown(&self) -> Vec<Notice> {
        self.server.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for one with these words.
    pub async fn one(&self, words: &str) -> Result<Notice> {
        eventually(SOON, &format!("a notification with {words:?}"), async || {
            let shown = self.shown();
            let found = shown.iter().find(|n| n.title.contains(words) || n.text.contains(words));
            found.cloned().with_context(|| format!("shown are {shown:?}"))
        })
        .await
    }
}
