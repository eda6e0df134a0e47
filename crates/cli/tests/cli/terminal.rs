//! On a terminal: questions are asked and answered, a password is not shown, a long run draws its bar. The terminal
//! is a real one, by `script` (every Debian has it), which hands our pipe to the program as its keyboard.

use crate::world::{Backend, EMAIL, PASSWORD, World, failed, line};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// Everything that was shown so far.
    shown: String,
}

impl Terminal {
    fn start(world: &World, arguments: &[&str]) -> Terminal {
        let heyho = world.command(arguments);
        let words = std::iter::once(heyho.get_program()).chain(heyho.get_args());
        let line = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ");
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear();
        script.envs(heyho.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("PATH", "/usr/bin:/bin").env("TERM", "xterm").env("SHELL", "/bin/sh");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let keyboard = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let (send, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                if send.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keyboard, screen, shown: String::new() }
    }

    /// Waits until that stands on the screen.
    fn says(&mut self, wanted: &str) -> &mut Terminal {
        while !self.shown.contains(wanted) {
            let more = self.screen.recv_timeout(SOON);
            assert!(more.is_ok(), "{wanted:?} is not shown, but {:?}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&more.unwrap()));
        }
        self
    }

    fn types(&mut self, line: &str) -> &mut Terminal {
        writeln!(self.keyboard, "{line}").unwrap();
        self
    }

    /// The exit status, and everything that was shown.
    fn ends(mut self) -> (i32, String) {
        while let Ok(bytes) = self.screen.recv_timeout(SOON) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        drop(self.keyboard);
        (self.child.wait().unwrap().code().unwrap(), self.shown)
    }
}

#[test]
fn what_deletes_for_good_asks_and_only_a_yes_is_one() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    world.import(&[
        failed("f", "bank.example"),
        line("w", "bank.example", None),
        line("k", "bank.example", None),
    ]);
    let waiting = world.json(&["waiting", "list"])[0]["number"].to_string();
    let questions: [(&[&str], &str, &str); 4] = [
        (&["failed", "discard", "--all"], "1 failed record will be deleted", "1 record: deleted."),
        (
            &["waiting", "discard", &waiting],
            "1 record will be deleted before being sent",
            "1 record deleted.",
        ),
        (&["forget", "bank.example"], "All records of bank.example", "deleted here"),
        (&["erase"], "Every record that is kept here will be deleted", "Nothing is kept here any more."),
    ];
    for (command, lost, done) in questions {
        for (answer, code, said) in
            [("", 1, "Nothing was deleted."), ("n", 1, "Nothing was deleted."), ("y", 0, done)]
        {
            let mut terminal = Terminal::start(&world, command);
            terminal.says(lost).says("Old copies of the whole store").says("Go on? [y/N] ").types(answer);
            let (status, shown) = terminal.ends();
            assert_eq!(status, code, "{command:?}, {answer:?}: {shown}");
            assert!(shown.contains(said), "{command:?}, {answer:?}: {shown}");
        }
    }
    // Nobody is asked about what is not there.
    let mut none = Terminal::start(&world, &["waiting", "discard", "97", "98"]);
    none.says("2 of these numbers are not waiting");
    assert!(!none.ends().1.contains("Go on?"));
}

/// The question may stand there for minutes: what fails meanwhile is in no count and in no export of whoever answers.
#[test]
fn what_fails_while_the_question_stands_is_not_deleted_by_its_answer() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    for (n, all) in [&["--all"][..], &["--reason", "rejected_by_backend"]].into_iter().enumerate() {
        let (seen, later) = (format!("seen-{n}"), format!("later-{n}"));
        world.import(&[failed(&seen, "bank.example")]);
        let mut terminal = Terminal::start(&world, &[&["failed", "discard"], all].concat());
        terminal.says("will be deleted").says("Go on? [y/N] ");
        world.import(&[failed(&later, "bank.example")]);
        terminal.types("y");
        let (status, shown) = terminal.ends();
        assert_eq!(status, 0, "{shown}");
        assert!(shown.contains("1 record: deleted."), "{shown}");
        let left = world.json(&["failed", "list"]);
        assert_eq!(left.as_array().unwrap().iter().map(|f| &f["id"]).collect::<Vec<_>>(), [&later]);
        world.json(&["failed", "discard", &later]);
    }
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    let login = ["login", "--email", EMAIL, "--register", "--backend", &backend.url];
    let mut terminal = Terminal::start(&world, &login);
    // A slip in it would lock its owner out.
    terminal.says("Password: ").types(PASSWORD).says("The same again: ").types("something else");
    let (status, shown) = terminal.ends();
    assert_eq!(status, 64, "{shown}");
    assert!(shown.contains("differ"), "{shown}");
    let mut terminal = Terminal::start(&world, &login);
    terminal.says("Password: ").types(PASSWORD).says("The same again: ").types(PASSWORD);
    let (status, shown) = terminal.ends();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}

#[test]
fn a_long_run_draws_its_progress_and_takes_it_away_again() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    assert!(world.sign_in(&backend).status.success());
    let many: Vec<String> = (0..4_000).map(|n| line(&format!("v{n}"), "news.example", None)).collect();
    world.import(&many);
    world.json(&["claim"]);
    let mut terminal = Terminal::start(&world, &["sync", "--wait"]);
    terminal.says(" of 4000");
    let (status, shown) = terminal.ends();
    assert_eq!(status, 0, "{shown}");
    let (_, after) = shown.rsplit_once("\u{1b}[2K").expect("the bar is cleared");
    assert!(after.contains("4,000 sent, 0 failed, 0 waiting."), "{shown}");
}
