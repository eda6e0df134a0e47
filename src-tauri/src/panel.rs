//! Whether the panel that holds the tray is dark or light, which decides between the icon's two variants.
//!
//! No desktop says it outright. GNOME and its kin have a dark panel in either theme; others colour the panel as
//! their windows, and say the theme through the settings portal. Without an answer the panel is taken for dark,
//! as most are. macOS needs none of this: it colours the shape by itself.

/// The strokes to draw with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strokes {
    Light,
    Dark,
}

/// `desktop` is `XDG_CURRENT_DESKTOP`, `scheme` the portal's `color-scheme`: 1 dark, 2 light, 0 no preference.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has the portal"))]
fn strokes(desktop: &str, scheme: Option<u32>) -> Strokes {
    let always_dark = desktop.split(':').any(|name| ["GNOME", "Unity", "Pantheon"].contains(&name));
    match scheme {
        Some(2) if !always_dark => Strokes::Dark,
        _ => Strokes::Light,
    }
}

#[cfg(target_os = "linux")]
pub use portal::follow;

/// Tells the strokes at first and after each change of theme, for as long as the session bus lives.
#[cfg(not(target_os = "linux"))]
pub async fn follow(_tell: impl Fn(Strokes) + Send) {}

#[cfg(target_os = "linux")]
mod portal {
    use super::{Strokes, strokes};
    use futures_util::StreamExt;
    use zbus::zvariant::{OwnedValue, Value};

    const NAMESPACE: &str = "org.freedesktop.appearance";
    const KEY: &str = "color-scheme";

    #[zbus::proxy(
        interface = "org.freedesktop.portal.Settings",
        default_service = "org.freedesktop.portal.Desktop",
        default_path = "/org/freedesktop/portal/desktop"
    )]
    trait Settings {
        fn read(&self, namespace: &str, key: &str) -> zbus::Result<OwnedValue>;

        #[zbus(signal)]
        fn setting_changed(&self, namespace: &str, key: &str, value: Value<'_>) -> zbus::Result<()>;
    }

    /// Tells the strokes at first and after each change of theme, for as long as the session bus lives.
    pub async fn follow(tell: impl Fn(Strokes) + Send) {
        if let Err(error) = try_follow(tell).await {
            tracing::debug!("the desktop does not say its theme: {error}");
        }
    }

    async fn try_follow(tell: impl Fn(Strokes) + Send) -> zbus::Result<()> {
        let desktop = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
        let bus = zbus::Connection::session().await?;
        let settings = SettingsProxy::new(&bus).await?;
        let mut changes = settings.receive_setting_changed().await?;
        // One that is still starting may fail here, and tell a change later.
        match settings.read(NAMESPACE, KEY).await {
            Ok(value) => tell(strokes(&desktop, scheme(&value))),
            Err(error) => tracing::debug!("the desktop does not say its theme yet: {error}"),
        }
        while let Some(change) = changes.next().await {
            let change = change.args()?;
            if change.namespace == NAMESPACE && change.key == KEY {
                tell(strokes(&desktop, scheme(&change.value)));
            }
        }
        Ok(())
    }

    /// `Read` wraps the value in a variant of its own.
    fn scheme(value: &Value<'_>) -> Option<u32> {
        match value {
            Value::U32(scheme) => Some(*scheme),
            Value::Value(inner) => scheme(inner),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panel_is_dark_unless_the_desktop_says_that_it_is_light() {
        assert_eq!(strokes("KDE", Some(2)), Strokes::Dark);
        assert_eq!(strokes("KDE", Some(1)), Strokes::Light);
        assert_eq!(strokes("XFCE", Some(0)), Strokes::Light);
        assert_eq!(strokes("ubuntu:GNOME", Some(2)), Strokes::Light);
        assert_eq!(strokes("", None), Strokes::Light);
    }
}
