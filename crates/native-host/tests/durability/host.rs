//! A host process, and the frames that go in and out of it.

use crate::world::World;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Far longer than anything here takes: a host that is slower hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Host {
    /// Others may kill it too.
    child: Arc<Mutex<Child>>,
    stdin: Option<ChildStdin>,
    answers: Receiver<Value>,
    /// What it said on stderr, as far as a panic goes.
    panicked: Arc<Mutex<Option<String>>>,
}

impl Host {
    pub fn start(world: &World) -> Host {
        let mut child = world
            .command(env!("CARGO_BIN_EXE_heyho-host"))
            .arg("chrome-extension://abcdef/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, mut stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let (give, answers) = channel();
        std::thread::spawn(move || {
            let mut length = [0u8; 4];
            while stdout.read_exact(&mut length).is_ok() {
                let mut body = vec![0; u32::from_ne_bytes(length) as usize];
                if stdout.read_exact(&mut body).is_err()
                    || give.send(serde_json::from_slice(&body).unwrap()).is_err()
                {
                    return;
                }
            }
        });
        let panicked = Arc::new(Mutex::new(None));
        let (lines, seen) = (BufReader::new(child.stderr.take().unwrap()).lines(), panicked.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("panicked") || line.contains("log of the disk") {
                    *seen.lock().unwrap() = Some(line);
                }
            }
        });
        Host { child: Arc::new(Mutex::new(child)), stdin, answers, panicked }
    }

    /// To kill it from elsewhere.
    pub fn child(&self) -> Arc<Mutex<Child>> {
        self.child.clone()
    }

    /// False: the pipe is broken, for the host is dead.
    pub fn raw(&mut self, bytes: &[u8]) -> bool {
        self.stdin.as_mut().unwrap().write_all(bytes).is_ok()
    }

    pub fn answer(&self) -> Value {
        self.answers.recv_timeout(PATIENCE).unwrap()
    }

    pub fn answer_within(&self, wait: Duration) -> Result<Value, RecvTimeoutError> {
        self.answers.recv_timeout(wait)
    }

    /// What was still in the pipe: a browser reads it after the host is dead.
    pub fn last_words(&self) -> impl Iterator<Item = Value> {
        std::iter::from_fn(|| self.answers.recv_timeout(PATIENCE).ok())
    }

    pub fn kill(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// The end of input, to which a host answers by leaving.
    pub fn leave(mut self) {
        self.stdin = None;
        let status = self.child.lock().unwrap().wait().unwrap();
        assert!(status.success(), "{status}");
    }

    pub fn assert_it_did_not_panic(&self) {
        let panicked = self.panicked.lock().unwrap();
        assert!(panicked.is_none(), "{}", panicked.as_deref().unwrap_or_default());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn frame(json: &str) -> Vec<u8> {
    let mut bytes = (json.len() as u32).to_ne_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

pub fn hello(profile: &str) -> Vec<u8> {
    frame(&format!(r#"{{"type":"hello","protocol":1,"client":{{"profileId":"{profile}"}}}}"#))
}
