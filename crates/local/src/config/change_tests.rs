use super::*;
use crate::config::Config;
use serde_json::json;

/// Whoever was stopped while changing the file is not waited for without end.
#[test]
fn a_lock_that_is_held_on_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let held = hold(&path, PATIENCE).unwrap();
    let error = hold(&path, Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains("another program is changing it"), "{error}");
    drop(held);
    set(&path, "log.level", &json!("warn")).unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_and_its_folder_as_it_is() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let (dotfiles, config) = (dir.path().join("dotfiles"), dir.path().join("config"));
    std::fs::create_dir_all(&dotfiles).unwrap();
    std::fs::create_dir_all(&config).unwrap();
    std::fs::set_permissions(&dotfiles, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = config.join("config.toml");
    symlink("../dotfiles/heyho.toml", &path).unwrap();
    // Also before there is anything behind it.
    for level in ["warn", "debug"] {
        set(&path, "log.level", &json!(level)).unwrap();
        assert!(std::fs::read_link(&path).is_ok());
        assert!(std::fs::read_to_string(dotfiles.join("heyho.toml")).unwrap().contains(level));
    }
    assert_eq!(std::fs::metadata(&dotfiles).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(Config::load(&path).is_ok());
}

#[test]
fn a_section_that_is_left_empty_goes_unless_something_is_noted_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, "[sync]\nhold = \"1h\"\n[log] # loud\nlevel = \"debug\"\n").unwrap();
    set(&path, "sync.hold", &Value::Null).unwrap();
    set(&path, "log.level", &Value::Null).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[log] # loud\n");
    // What is pasted from a page would otherwise be a second one.
    std::fs::write(&path, "[sync]\nhold = \"1h\"\n[sync]\ninterval = \"9m\"\n").unwrap();
    let error = set(&path, "sync.hold", &Value::Null).unwrap_err().to_string();
    assert!(error.contains("line 3: sync stands there for the second time"), "{error}");
}
