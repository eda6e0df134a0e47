//! A setting that cannot be used ends the program before it listens: with 78, so that nothing starts it over and over.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const SECRET: &str = "the same for every node of these tests";

/// Starts it and expects it to end at once, naming what is wrong.
fn refused(folder: &Path, settings: &str, change: impl FnOnce(&mut Command), words: &[&str]) {
    let file = folder.join("settings.toml");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_heyho-backend"));
    command
        .args(["serve", "--config"])
        .arg(file)
        .env("HEYHO_LISTEN", "127.0.0.1:0")
        .env("HEYHO_DATABASE_URL", format!("sqlite://{}", folder.join("data/heyho.db").display()))
        .env("HEYHO_JWT_SECRET", SECRET)
        .env_remove("HEYHO_LOG");
    change(&mut command);
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(ended.stdout.is_empty(), "it said that it listens");
    for word in words {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert!(!folder.join("data").exists(), "it opened its database");
}

/// The unit runs with what its five minutes create: the program, and a folder for its state.
#[test]
fn the_units_command_needs_no_settings() {
    let unit = include_str!("../../deploy/heyho-backend.service");
    assert!(unit.lines().any(|line| line == "RestartPreventExitStatus=78"));
    assert!(unit.lines().any(|line| line == "EnvironmentFile=-/etc/heyho/backend.env"), "it is optional");
    let arguments =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/heyho-backend "));
    let state = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_heyho-backend"))
        .args(arguments.unwrap().split(' '))
        .env_clear()
        .env("HOME", "/")
        .env("XDG_DATA_HOME", state.path())
        // the usual port may be taken on this machine
        .env("HEYHO_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
    child.kill().unwrap();
    child.wait().unwrap();
    read.unwrap();
    assert!(line.starts_with("listening on http://127.0.0.1:"), "{line:?}");
    assert!(state.path().join("heyho-backend/heyho.db").exists());
}

#[test]
fn an_address_that_is_none_ends_it_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    for bad in ["nonsense", "127.0.0.1", ":3001", "127.0.0.1:70000", "a b:1", "::1", "http://localhost:1"] {
        let listen = |command: &mut Command| {
            command.args(["--listen", bad]);
        };
        refused(folder.path(), "", listen, &[&format!("{bad:?}"), "127.0.0.1:3001"]);
    }
}

#[test]
fn a_mail_server_that_cannot_be_used_ends_it_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    for (url, word) in [
        ("no url", "smtps://USER:PASSWORD@HOST"),
        ("https://mail.example.org", "https"),
        ("smtps://ada:hunter2%ff@mail.example.org", "percent-encoded"),
        ("smtps://ada%ff:hunter2@mail.example.org", "percent-encoded"),
    ] {
        let mail = |command: &mut Command| {
            command.env("HEYHO_SMTP_URL", url).env("HEYHO_MAIL_FROM", "a@example.org");
        };
        refused(folder.path(), "", mail, &[word]);
    }
}

#[test]
fn a_certificate_that_cannot_be_used_ends_it_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (certificate, key) = (format!("{name}.cert.pem"), format!("{name}.key.pem"));
        std::fs::write(folder.path().join(&certificate), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join(&key), made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    };
    let ((certificate, key), (_, other)) = (made("one"), made("other"));
    for (certificate, key, word) in [
        ("none.pem", key.as_str(), "none.pem"),
        (&certificate, "none.pem", "none.pem"),
        (&certificate, &certificate, "tls.key"),
        (&key, &key, "certificate"),
        (&certificate, &other, "does not go with"),
    ] {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let settings = format!("[tls]\ncertificate = {:?}\nkey = {:?}\n", path(certificate), path(key));
        refused(folder.path(), &settings, |_| (), &[word]);
    }
}

#[test]
fn a_database_that_cannot_be_named_ends_it_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["mysql://h/d", "postgres://u:hunter2@h:port/x", "postgres://u:hunter2@h/x?sslmode=nonsense"] {
        let database = |command: &mut Command| {
            command.env("HEYHO_DATABASE_URL", url);
        };
        refused(folder.path(), "", database, &["postgres://USER"]);
    }
}

/// A key that one node made for itself would sign what no other believes.
#[test]
fn no_key_is_made_for_a_database_that_other_nodes_share() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("jwt-secret");
    let shared = |command: &mut Command| {
        command
            .env("HEYHO_DATABASE_URL", "postgres://heyho@127.0.0.1:1/heyho")
            .env_remove("HEYHO_JWT_SECRET");
    };
    let settings = format!("jwt_secret_file = {:?}\n", secret.display().to_string());
    refused(folder.path(), &settings, shared, &["the same for every node", "jwt-secret"]);
    assert!(!secret.exists());
    refused(folder.path(), "", shared, &["the same for every node"]);
}

#[test]
fn other_settings_that_cannot_be_used_end_it_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    refused(
        folder.path(),
        "[limits]\naddress_mails = { burst = 0, per_minute = 1 }",
        |_| (),
        &["address_mails"],
    );
    let arguments = |command: &mut Command| {
        command.args(["--registration", "shut"]);
    };
    refused(folder.path(), "registration = \"closed\"", arguments, &["shut", "closed"]);
    let log = |command: &mut Command| {
        command.env("HEYHO_LOG", "heyho=loud");
    };
    refused(folder.path(), "", log, &["heyho=loud", "heyho_backend=debug"]);
}
