//! `cargo xtask icons`: every picture of the app, the tray and the extension, from the drawings beside this.
//!
//! ```text
//! app.svg         64 pixels and more          app-small.svg   16 to 48, on the grid of 16
//! tray/STATE.svg  one colour (`currentColor`) on the grid of 16: `-light.png` for dark panels, `-dark.png` for light
//! ```
//!
//! The pictures are committed, so that a build needs none of this; the test says when one is not its drawing's.

use anyhow::{Context, Result};
use ico::{IconDir, IconDirEntry, IconImage, ResourceType};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::path::{Path, PathBuf};

const APP: [u32; 4] = [32, 128, 256, 512];
const WINDOWS: [u32; 4] = [16, 32, 48, 256];
const EXTENSION: [u32; 4] = [16, 32, 48, 128];
/// The last size that is drawn from the small drawing.
const SMALL: u32 = 48;
const STATES: [&str; 5] = ["calm", "syncing", "retrying", "paused", "attention"];
/// Panels scale this down: three times 16, twice 24.
const TRAY: u32 = 48;
const STROKES: [(&str, &str); 2] = [("light", "#f4f4f6"), ("dark", "#2b2c31")];

fn main() -> Result<()> {
    for (path, bytes) in pictures()? {
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Every picture: where it lies, and what is in the file.
fn pictures() -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let extension = here.join("../../extension/icons");
    let mut all = Vec::new();
    for size in APP {
        all.push((here.join(format!("{size}x{size}.png")), app(size)?.encode_png()?));
    }
    for size in EXTENSION {
        all.push((extension.join(format!("{size}.png")), app(size)?.encode_png()?));
    }
    all.push((here.join("icon.ico"), windows()?));
    for state in STATES {
        let drawing = read(&format!("tray/{state}.svg"))?;
        for (name, colour) in STROKES {
            let picture = draw(&drawing.replace("currentColor", colour), TRAY)?;
            all.push((here.join(format!("tray/{state}-{name}.png")), picture.encode_png()?));
        }
    }
    Ok(all)
}

fn app(size: u32) -> Result<Pixmap> {
    draw(&read(if size <= SMALL { "app-small.svg" } else { "app.svg" })?, size)
}

fn windows() -> Result<Vec<u8>> {
    let mut icon = IconDir::new(ResourceType::Icon);
    for size in WINDOWS {
        let pixels = app(size)?.take_demultiplied();
        icon.add_entry(IconDirEntry::encode(&IconImage::from_rgba_data(size, size, pixels))?);
    }
    let mut file = Vec::new();
    icon.write(&mut file)?;
    Ok(file)
}

fn read(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// A drawing is square; it fills the picture.
fn draw(svg: &str, size: u32) -> Result<Pixmap> {
    let tree = Tree::from_str(svg, &Options::default())?;
    let mut picture = Pixmap::new(size, size).context("a picture of no size")?;
    let scale = size as f32 / tree.size().width();
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_picture_is_its_drawing_s() -> Result<()> {
        let stale: Vec<PathBuf> = pictures()?
            .into_iter()
            .filter(|(path, bytes)| std::fs::read(path).ok().as_ref() != Some(bytes))
            .map(|(path, _)| path)
            .collect();
        assert!(stale.is_empty(), "cargo xtask icons draws {stale:?}");
        Ok(())
    }

    /// At the smallest size panels show: each state by its silhouette alone, without any colour.
    #[test]
    fn the_states_differ_in_shape_at_16_pixels() -> Result<()> {
        let mut seen = BTreeSet::new();
        let mut shapes: Vec<(&str, Vec<bool>)> = Vec::new();
        for state in STATES {
            let picture = draw(&read(&format!("tray/{state}.svg"))?.replace("currentColor", "#000"), 16)?;
            let shape: Vec<bool> = picture.pixels().iter().map(|p| p.alpha() > 127).collect();
            for (other, there) in &shapes {
                let differ = shape.iter().zip(there).filter(|(a, b)| a != b).count();
                assert!(differ >= 16, "{state} and {other} differ in {differ} of 256 pixels");
            }
            assert!(seen.insert(shape.clone()));
            shapes.push((state, shape));
        }
        Ok(())
    }
}
