//! Writes what a package of the system ships for all users: the manifest of each browser that has a place for it,
//! below FOLDER as below `/`. Asked by `cargo xtask dist`, so that the package and the program know the same places.
//!
//! `system_manifests FOLDER /usr/bin/heyho-host`

use heyho_local::browsers::for_all_users;
use std::io::{Error, ErrorKind};
use std::path::Path;

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, host] = words.as_slice() else {
        return Err(Error::new(ErrorKind::InvalidInput, "say FOLDER and the host's path"));
    };
    for (place, contents) in for_all_users(Path::new(host)) {
        let to = Path::new(folder).join(place);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(to, contents)?;
    }
    Ok(())
}
