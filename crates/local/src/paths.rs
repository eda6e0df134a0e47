//! Where the files of this user lie (contract, section 5). Directories are 0700, files 0600.
//!
//! On Linux `heyho-companion` in the XDG directories, the platform's own elsewhere; each can be set by an
//! environment variable, which is how tests and portable installations stay out of the real home.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub data: PathBuf,
    pub config: PathBuf,
    pub state: PathBuf,
    pub runtime: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("no home directory was found; set HEYHO_DATA_DIR, HEYHO_CONFIG_DIR and HEYHO_STATE_DIR")]
pub struct NoHome;

impl Paths {
    /// From the environment and the user's home.
    pub fn of_user() -> Result<Paths, NoHome> {
        Paths::from(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from(var: impl Fn(&str) -> Option<OsString>) -> Result<Paths, NoHome> {
        let home = directories::ProjectDirs::from("app", "HeyHo", "heyho-companion");
        let home = home.as_ref();
        let set = |name: &str| var(name).map(PathBuf::from);
        let data = set("HEYHO_DATA_DIR").or_else(|| home.map(|h| h.data_dir().to_owned())).ok_or(NoHome)?;
        let config =
            set("HEYHO_CONFIG_DIR").or_else(|| home.map(|h| h.config_dir().to_owned())).ok_or(NoHome)?;
        let state = set("HEYHO_STATE_DIR")
            .or_else(|| home.map(|h| h.state_dir().unwrap_or(h.data_local_dir()).to_owned()))
            .ok_or(NoHome)?;
        let runtime = set("HEYHO_RUNTIME_DIR")
            .or_else(|| home.and_then(|h| h.runtime_dir()).map(Path::to_owned))
            .unwrap_or_else(|| data.join("run"));
        Ok(Paths { data, config, state, runtime })
    }

    pub fn buffer(&self) -> PathBuf {
        self.data.join("buffer.db")
    }

    pub fn agent_lock(&self) -> PathBuf {
        self.data.join("agent.lock")
    }

    /// Only read when `[tokens] store = "file"`.
    pub fn token_file(&self) -> PathBuf {
        self.data.join("tokens.json")
    }

    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.runtime.join("agent.sock")
    }

    /// Where hosts say that they run.
    pub fn hosts(&self) -> PathBuf {
        self.runtime.join("hosts")
    }

    pub fn logs(&self) -> PathBuf {
        self.state.clone()
    }
}

/// A sentence for whoever is not told where things lie (the window): the file by its name alone.
pub fn by_name(text: &str, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    text.replace(&*path.display().to_string(), &name)
}

/// Makes a directory, and its parents, for this user alone.
pub fn private_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    platform::only_owner(path, 0o700)
}

/// Writes a file for this user alone, whole or not at all.
pub fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    private_dir(folder(path)?)?;
    write_whole(path, contents)
}

fn folder(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::other(format!("{} has no folder", path.display())))
}

/// The same in a folder that is somebody else's, and stays as it is.
pub fn write_whole(path: &Path, contents: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let dir = folder(path)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = dir.join(format!(".{name}.{}", crate::clock::new_id().simple()));
    let written = (|| {
        let mut file = platform::create_private(&beside)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(unix)]
mod platform {
    use std::fs::{File, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    pub fn only_owner(path: &Path, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(path, Permissions::from_mode(mode))
    }

    pub fn create_private(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    /// A Windows profile is private to its user already.
    pub fn only_owner(_path: &Path, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    pub fn create_private(path: &Path) -> io::Result<File> {
        File::create_new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins() {
        let paths = Paths::from(|name| match name {
            "HEYHO_DATA_DIR" => Some("/x/data".into()),
            "HEYHO_CONFIG_DIR" => Some("/x/config".into()),
            "HEYHO_STATE_DIR" => Some("/x/state".into()),
            "HEYHO_RUNTIME_DIR" => Some("/x/run".into()),
            _ => None,
        })
        .unwrap();
        assert_eq!(paths.buffer(), Path::new("/x/data/buffer.db"));
        assert_eq!(paths.config_file(), Path::new("/x/config/config.toml"));
        assert_eq!(paths.socket(), Path::new("/x/run/agent.sock"));
        assert_eq!(paths.logs(), Path::new("/x/state"));
    }

    #[test]
    fn a_file_is_named_without_its_folder() {
        let path = Path::new("/home/ada/.config/config.toml");
        assert_eq!(by_name("/home/ada/.config/config.toml: no", path), "config.toml: no");
        assert_eq!(by_name("config.toml: no", Path::new("config.toml")), "config.toml: no");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_is_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b.json");
        write_private(&file, b"1").unwrap();
        write_private(&file, b"2").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&dir.path().join("a"))), (0o600, 0o700));
        assert_eq!(std::fs::read(&file).unwrap(), b"2");
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }
}
