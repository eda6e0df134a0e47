//! What scripts read of the commands about accounts and about what is kept: their JSON, what goes well and what does not;
//! and the doctor as a person reads it.

use crate::same;
use crate::world::{Backend, EMAIL, PASSWORD, World, failed, line};
use heyho_backend::mail::MailSetting;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

fn login(world: &World, more: &[&str], password: &str) -> String {
    let arguments = [&["--json", "login", "--email", EMAIL, "--password-stdin"], more].concat();
    let shown = world.shown(&arguments, &world.heyho_reading(&arguments, password));
    assert!(!shown.contains(PASSWORD));
    shown
}

#[test]
fn each_command_says_the_same_as_json() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    let file = world.path("in.ndjson");
    let lines = [line("a", "news.example", None), failed("f", "bank.example"), "nonsense".to_owned()];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let (file, out) = (file.to_str().unwrap(), world.path("out.ndjson"));
    let out = out.to_str().unwrap();
    let mut said = vec![
        world.said(&["--json", "import", file]),
        world.said(&["--json", "import", "none.ndjson"]),
        world.said(&["--json", "logout"]),
        world.said(&["--json", "claim"]),
        login(&world, &["--backend", &backend.url], PASSWORD),
        login(&world, &["--backend", &backend.url, "--register"], PASSWORD),
        login(&world, &["--backend", "ftp://x"], PASSWORD),
    ];
    for arguments in [
        &["claim"][..],
        &["pause", "1h"],
        &["pause", "soon"],
        &["sync", "--wait"],
        &["resume"],
        &["export", out],
        &["export", out],
        &["export", "-", "--account", "nobody@x"],
        &["failed", "export", out, "--force"],
        &["failed", "keep", "--all"],
        &["failed", "show", "f"],
        &["failed", "retry", "f"],
        &["failed", "retry", "f"],
        &["waiting", "list", "--search", "Page f"],
        &["waiting", "discard", "97"],
        &["failed", "discard", "99"],
        &["forget", "bank.example"],
        &["forget", "http://a/b"],
        &["discard", "--account", "nobody@x"],
        &["discard", "--account", EMAIL],
        &["erase"],
        &["erase", "--yes"],
        &["import", file],
        &["failed", "discard", "--all"],
        &["config", "get", "sync.interval"],
        &["config", "set", "sync.interval", "9m"],
        &["config", "unset", "sync.interval"],
        &["config", "path"],
        &["config", "get", "privacy.rules"],
        &["config", "set", "privacy.rules", "[]"],
        &["logout"],
        &["logout"],
    ] {
        said.push(world.said(&[&["--json"], arguments].concat()));
    }
    same!(said.join("\n"));
}

#[test]
fn the_doctor_reads_as_a_list_with_what_to_do() {
    // As somebody writes it who has the address on the clipboard.
    let rule = "[[privacy.rules]]\nid = 'bank'\nmatch = 'host'\npattern = 'https://bank.example/'\naction = 'drop'\n";
    let world = World::with(&format!(
        "[backend]\nurl = 'http://127.0.0.1:9'\n[tokens]\nstore = 'file'\n[synk]\n{rule}"
    ));
    // Which browsers there are, and that the host lies beside the program, is the machine's business.
    let said = world.said(&["doctor"]);
    let mut shown = true;
    let lines = said.lines().filter(|line| {
        shown = if line.trim_start().starts_with('→') { shown } else { !line.contains("browsers") };
        shown
    });
    same!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_doctor_says_the_same_as_json() {
    let world = World::with("[backend]\nurl = 'http://127.0.0.1:9'\n[tokens]\nstore = 'file'\n[synk]\n");
    let arguments = ["--json", "doctor"];
    let mut output = world.heyho(&arguments);
    let mut found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    found.retain(|finding| finding["part"] != "browsers");
    output.stdout = found.iter().map(|finding| format!("{finding}\n")).collect::<String>().into_bytes();
    same!(world.shown(&arguments, &output));
}

/// An address that has to be confirmed: the registration is finished by the code, in the same command.
#[test]
fn a_registration_is_finished_by_the_code_of_the_mail() {
    let (address, codes) = mail_server();
    let url = format!("smtp://user:secret@{address}");
    let backend = Backend::start_with(|config| {
        config.mail = Some(MailSetting::parse(&url, "HeyHo <hey@example.org>").unwrap());
    });
    let world = World::with("[tokens]\nstore = 'file'\n");
    let mut said = vec![login(&world, &["--backend", &backend.url, "--register"], PASSWORD)];
    let code = codes.recv_timeout(Duration::from_secs(60)).unwrap();
    said.push(login(&world, &["--backend", &backend.url, "--code", "00000000"], PASSWORD));
    let confirmed = login(&world, &["--backend", &backend.url, "--code", &code], PASSWORD);
    said.push(confirmed.replace(&code, "[CODE]"));
    same!(said.join("\n"));
}

/// As much of a mail server as it takes to get a code out of a message: the line of eight digits.
fn mail_server() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (codes, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            converse(BufReader::new(stream.unwrap()), &codes);
        }
    });
    (address, received)
}

fn converse(mut stream: BufReader<TcpStream>, codes: &mpsc::Sender<String>) -> Option<()> {
    let mut say = "220 test\r\n";
    loop {
        stream.get_mut().write_all(say.as_bytes()).ok()?;
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        say = match line.get(..4)? {
            "EHLO" => "250-test\r\n250 AUTH PLAIN\r\n",
            "AUTH" => "235 ok\r\n",
            "QUIT" => "221 ok\r\n",
            "DATA" => {
                stream.get_mut().write_all(b"354 go on\r\n").ok()?;
                while line.trim_end() != "." {
                    line.clear();
                    stream.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
                    let text = line.trim();
                    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
                        codes.send(text.to_owned()).ok()?;
                    }
                }
                "250 ok\r\n"
            }
            _ => "250 ok\r\n",
        };
    }
}
