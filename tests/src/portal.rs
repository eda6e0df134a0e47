//! A desktop that says its theme: owns the settings portal on the world's bus.

use crate::desktop;
use crate::world::World;
use anyhow::Result;
use std::sync::{Arc, Mutex, PoisonError};
use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, fdo, interface};

const PATH: &str = "/org/freedesktop/portal/desktop";
const INTERFACE: &str = "org.freedesktop.portal.Settings";
const NAMESPACE: &str = "org.freedesktop.appearance";
const KEY: &str = "color-scheme";

/// As the portal numbers them.
pub const DARK: u32 = 1;
pub const LIGHT: u32 = 2;

#[derive(Debug, Clone, Default)]
struct Settings {
    /// None: it is still starting, and says nothing yet.
    scheme: Arc<Mutex<Option<u32>>>,
    /// How often it was asked.
    asked: Arc<Mutex<usize>>,
}

#[interface(name = "org.freedesktop.portal.Settings")]
impl Settings {
    fn read(&self, namespace: &str, key: &str) -> fdo::Result<OwnedValue> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        match *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) {
            // `Read` wraps the value in a variant of its own.
            Some(scheme) if (namespace, key) == (NAMESPACE, KEY) => {
                Ok(OwnedValue::try_from(Value::Value(Box::new(Value::U32(scheme))))
                    .map_err(zbus::Error::from)?)
            }
            _ => Err(fdo::Error::Failed("there is no such setting".to_owned())),
        }
    }
}

#[derive(Debug)]
pub struct Portal {
    bus: Connection,
    settings: Settings,
}

impl Portal {
    /// To be there before the app starts; it says nothing yet.
    pub async fn start(world: &World) -> Result<Portal> {
        let bus = desktop::connect(world).await?;
        let settings = Settings::default();
        bus.object_server().at(PATH, settings.clone()).await?;
        bus.request_name("org.freedesktop.portal.Desktop").await?;
        Ok(Portal { bus, settings })
    }

    pub fn asked(&self) -> usize {
        *self.settings.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The theme is this from now on, which is told to whoever listens.
    pub async fn becomes(&self, scheme: u32) -> Result<()> {
        *self.settings.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
        // Of something else, before it: nobody is to take it for the theme.
        for (key, value) in [("contrast", 1 - scheme % 2), (KEY, scheme)] {
            let told = (NAMESPACE, key, Value::U32(value));
            self.bus.emit_signal(None::<&str>, PATH, INTERFACE, "SettingChanged", &told).await?;
        }
        Ok(())
    }
}
