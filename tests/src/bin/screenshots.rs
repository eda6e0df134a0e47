//! `screenshots FOLDER [LOOK]`: the real window in every state (`e2e::tour`), and the extension's popup
//! (`e2e::popup`), a folder of pictures for each look.

use anyhow::{Context, Result};
use e2e::browser::Browser;
use e2e::popup;
use e2e::tour::{self, Look, Visitor};
use e2e::troubles;
use e2e::window::Window;
use std::path::PathBuf;

const LOOKS: [(&str, Look); 5] = [
    ("light", tour::LIGHT),
    ("dark", tour::DARK),
    ("narrow", tour::NARROW),
    ("german", tour::GERMAN),
    ("eased", tour::EASED),
];

struct Camera(PathBuf);

impl Visitor for Camera {
    async fn look(&mut self, name: &str, _: &str, window: &Window) -> Result<()> {
        window.painted().await?;
        window.screenshot(&self.0.join(format!("{name}.png"))).await
    }
}

/// Of the popup, whose looks differ in colour only.
impl popup::Visitor for Camera {
    async fn look(&mut self, name: &str, dark: bool, browser: &Browser) -> Result<()> {
        let name = if dark { format!("{name}-dark.png") } else { format!("{name}.png") };
        browser.picture(&self.0.join(name)).await
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).context("usage: screenshots FOLDER [LOOK]")?);
    let only = std::env::args().nth(2);
    for (name, look) in LOOKS.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
    {
        let mut camera = Camera(std::path::absolute(folder.join(name))?);
        std::fs::create_dir_all(&camera.0)?;
        tour::tour(look, &mut camera).await.with_context(|| name)?;
        troubles::no_keyring(look, &mut camera).await.with_context(|| name)?;
        troubles::no_start(look, &mut camera).await.with_context(|| name)?;
        troubles::damaged_store(look, &mut camera).await.with_context(|| name)?;
        troubles::full_disk(look, &mut camera).await.with_context(|| name)?;
        troubles::full_store(look, &mut camera).await.with_context(|| name)?;
        troubles::metered(look, &mut camera).await.with_context(|| name)?;
        troubles::ending(look, &mut camera).await.with_context(|| name)?;
    }
    if only.as_deref().is_none_or(|only| only == "popup") {
        let mut camera = Camera(std::path::absolute(folder.join("popup"))?);
        std::fs::create_dir_all(&camera.0)?;
        popup::tour("en", &mut camera).await.context("popup")?;
    }
    Ok(())
}
