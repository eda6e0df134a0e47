//! The disk whose power can be cut (with `shim.c`, which is loaded into every process and writes down what
//! they do to it), and what it may hold afterwards:
//!
//! - Of a file everything is there that was written before the beginning of a sync that ended. Of what was
//!   written later any part: each write, or each of its 512 bytes, may have reached the disk or not, whatever
//!   came before or after it. A length that was not reached by them is not there.
//! - Of the directory (names that were made, renamed, unlinked) everything before a sync of a directory is
//!   there, and of what came later a beginning: journalling file systems keep that order. A file that was
//!   synced under a name that is not there yet is lost with it: POSIX promises no more.
//! - Folders are there from when they were made. `-shm` is memory, and gone; now and then something is left
//!   in its place.
//! - What a sync that fails should have made safe has reached the disk, or a part of it, or nothing; no later sync
//!   changes that, for Linux may call it clean. Written once more it is as good as new.

use crate::world::{Dice, World};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const CAPACITY: u64 = 4 << 30;
const SECTOR: usize = 512;
/// Fields of the log's head, of eight bytes each.
const HEAD: usize = 10;

/// The kinds of operation, as `shim.c` has them.
pub mod kind {
    pub const OPEN: u64 = 1;
    pub const WRITE: u64 = 2;
    pub const TRUNCATE: u64 = 3;
    pub const SYNC_BEGIN: u64 = 4;
    pub const SYNC_END: u64 = 5;
    pub const SYNC_FAILED: u64 = 6;
    pub const UNLINK: u64 = 7;
    pub const RENAME: u64 = 8;
    pub const DIR_SYNC: u64 = 9;
}

/// Which operations fail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fault {
    /// The first that fails, counted from 1; 0: none.
    pub at: u64,
    pub errno: i32,
    /// All from there on, until it is mended.
    pub ever: bool,
    pub kinds: &'static [u64],
}

pub struct Disk {
    log: PathBuf,
    folder: PathBuf,
    /// What was there at the start: inode, name, content. All of it is safe.
    before: Vec<(u64, PathBuf, Vec<u8>)>,
}

/// How much the cut took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cut {
    pub operations: u64,
    /// Writes that were not synced.
    pub open_writes: u64,
    /// Of these, bytes that did not reach the disk.
    pub dropped: u64,
}

impl Disk {
    /// Puts a disk under the world's data folder, and says with what its processes have to be started.
    pub fn under(world: World, sync_us: u64) -> (World, Disk) {
        let log = world.root.join("disk.log");
        let folder = world.data();
        let file = std::fs::File::create(&log).unwrap();
        file.set_len(CAPACITY).unwrap();
        let disk = Disk { log: log.clone(), before: files(&folder), folder };
        disk.put(0, &[(HEAD * 8) as u64]);
        disk.put(7, &[sync_us]);
        let world = world
            .with("LD_PRELOAD", shim())
            .with("HEYHO_DISK_DIR", &disk.folder)
            .with("HEYHO_DISK_LOG", &log);
        (world, disk)
    }

    fn put(&self, field: u64, values: &[u64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        std::fs::File::options()
            .write(true)
            .open(&self.log)
            .unwrap()
            .write_all_at(&bytes, field * 8)
            .unwrap();
    }

    fn head(&self) -> [u64; HEAD] {
        let mut bytes = [0u8; HEAD * 8];
        std::fs::File::open(&self.log).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        std::array::from_fn(|n| word(&bytes, n * 8))
    }

    /// From here on, counted anew.
    pub fn fail(&self, fault: Fault) {
        let mask = fault.kinds.iter().fold(0, |mask, kind| mask | 1 << kind);
        self.put(1, &[0, fault.at, fault.errno as u64, u64::from(fault.ever), mask, 0]);
    }

    /// How many operations of the fault's kinds there were, and how many have failed.
    pub fn counted(&self) -> (u64, u64) {
        let head = self.head();
        (head[1], head[6])
    }

    /// Nothing fails any more.
    pub fn mend(&self) {
        self.put(2, &[0]);
    }

    /// After so many more records in the log the power goes: every process stands still, to be killed.
    pub fn cut_after(&self, records: u64) {
        self.put(8, &[records]);
    }

    pub fn is_off(&self) -> bool {
        self.head()[9] == 1
    }

    /// Lays down in `to` what this disk may hold when the power goes now. All processes are dead.
    pub fn cut(&self, dice: &mut Dice, to: &Path) -> Cut {
        self.cut_at(u64::MAX, dice, to)
    }

    /// The same, as if it had gone after so many operations.
    pub fn cut_at(&self, operations: u64, dice: &mut Dice, to: &Path) -> Cut {
        let (log, mut cut) = (self.log(), Cut::default());
        let mut replay = Replay::new(&self.before, &log, dice);
        cut.operations = replay.run(operations);
        self.lay_down(replay.lights_out(&mut cut), to);
        self.leave_an_index(dice, to);
        cut
    }

    /// What is in the folder when all processes are killed after so many operations, and the power stays. Says how many
    /// there were.
    pub fn killed_at(&self, operations: u64, to: &Path) -> u64 {
        let (log, mut none) = (self.log(), Dice(1));
        let mut replay = Replay::new(&self.before, &log, &mut none);
        let done = replay.run(operations);
        self.lay_down(replay.seen(), to);
        done
    }

    fn log(&self) -> Vec<u8> {
        let mut log = vec![0; self.head()[0] as usize];
        std::fs::File::open(&self.log).unwrap().read_exact_at(&mut log, 0).unwrap();
        log
    }

    fn lay_down(&self, files: Vec<(PathBuf, Vec<u8>)>, to: &Path) {
        for (name, content) in files {
            let path = to.join(name.strip_prefix(&self.folder).unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
        }
    }

    /// Memory that happened to be written out, or what lay there before.
    fn leave_an_index(&self, dice: &mut Dice, to: &Path) {
        let name = "buffer.db-shm";
        match dice.roll(3) {
            0 => {}
            1 => {
                let _ = std::fs::copy(self.folder.join(name), to.join(name));
            }
            _ => {
                let noise: Vec<u8> = (0..4096).flat_map(|_| dice.roll(u64::MAX).to_ne_bytes()).collect();
                std::fs::write(to.join(name), noise).unwrap();
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn files(folder: &Path) -> Vec<(u64, PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = std::fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            found.append(&mut files(&path));
        } else if !path.to_string_lossy().ends_with("-shm") {
            found.push((metadata.ino(), path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// Compiled once a run.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/durability/shim.c");
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let built = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&to)
            .arg(source)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        to
    })
}

enum Pending {
    Write { offset: usize, from: usize, length: usize },
    Truncate(usize),
}

/// What a file holds for certain, and what was done to it since.
#[derive(Default)]
struct Content {
    safe: Vec<u8>,
    pending: Vec<(usize, Pending)>,
}

enum Name {
    Made(PathBuf, usize),
    Unlinked(PathBuf),
    Renamed(PathBuf, PathBuf),
}

type Names = BTreeMap<PathBuf, usize>;

struct Replay<'a> {
    log: &'a [u8],
    dice: &'a mut Dice,
    contents: Vec<Content>,
    inodes: BTreeMap<u64, usize>,
    /// As the processes see them, and as they are safe.
    names: Names,
    safe_names: Names,
    pending: Vec<(usize, Name)>,
}

impl<'a> Replay<'a> {
    fn new(before: &[(u64, PathBuf, Vec<u8>)], log: &'a [u8], dice: &'a mut Dice) -> Replay<'a> {
        let mut replay = Replay {
            log,
            dice,
            contents: Vec::new(),
            inodes: BTreeMap::new(),
            names: Names::new(),
            safe_names: Names::new(),
            pending: Vec::new(),
        };
        for (inode, path, bytes) in before {
            let number = replay.contents.len();
            replay.contents.push(Content { safe: bytes.clone(), pending: Vec::new() });
            replay.inodes.insert(*inode, number);
            replay.names.insert(path.clone(), number);
        }
        replay.safe_names = replay.names.clone();
        replay
    }

    /// So many operations, or all there are. Says how many.
    fn run(&mut self, most: u64) -> u64 {
        let (mut at, mut done) = (HEAD * 8, 0);
        while at < self.log.len() && done < most {
            let field = |n: usize| word(self.log, at + n * 8);
            let length = field(3) as usize;
            self.take(at, field(0), field(1), field(2), length);
            at += 32 + length.next_multiple_of(8);
            done += 1;
        }
        done
    }

    /// The files as the processes see them.
    fn seen(mut self) -> Vec<(PathBuf, Vec<u8>)> {
        let names = std::mem::take(&mut self.names);
        let whole = names.into_iter().map(|(path, number)| {
            let content = std::mem::take(&mut self.contents[number]);
            let mut bytes = content.safe;
            for (_, done) in &content.pending {
                apply(self.log, &mut bytes, done, |_| true);
            }
            (path, bytes)
        });
        whole.collect()
    }

    fn take(&mut self, at: usize, kind: u64, inode: u64, offset: u64, length: usize) {
        let payload = &self.log[at + 32..at + 32 + length];
        let file = self.inodes.get(&inode).copied();
        match kind {
            kind::OPEN => {
                let path = PathBuf::from(OsStr::from_bytes(payload));
                if file.is_some() && self.names.get(&path) == file.as_ref() {
                    return;
                }
                let number = self.contents.len();
                self.contents.push(Content::default());
                self.inodes.insert(inode, number);
                self.name(at, Name::Made(path, number));
            }
            kind::WRITE => {
                let write = Pending::Write { offset: offset as usize, from: at + 32, length };
                self.contents[file.unwrap()].pending.push((at, write));
            }
            kind::TRUNCATE => {
                self.contents[file.unwrap()].pending.push((at, Pending::Truncate(offset as usize)));
            }
            kind::SYNC_BEGIN => {}
            kind::SYNC_END => {
                let content = &mut self.contents[file.unwrap()];
                let later = content.pending.partition_point(|(at, _)| *at < offset as usize);
                for (_, done) in content.pending.drain(..later) {
                    apply(self.log, &mut content.safe, &done, |_| true);
                }
            }
            kind::SYNC_FAILED => {
                let content = &mut self.contents[file.unwrap()];
                let some = self.dice.roll(2) == 0;
                for (_, done) in content.pending.drain(..) {
                    // A length is the file system's own affair.
                    let length = matches!(done, Pending::Truncate(_));
                    let dice = &mut *self.dice;
                    apply(self.log, &mut content.safe, &done, |_| length || (some && dice.roll(2) == 0));
                }
            }
            kind::UNLINK => {
                self.name(at, Name::Unlinked(PathBuf::from(OsStr::from_bytes(payload))));
            }
            kind::RENAME => {
                let mut two = payload.split(|byte| *byte == 0).map(|p| PathBuf::from(OsStr::from_bytes(p)));
                self.name(at, Name::Renamed(two.next().unwrap(), two.next().unwrap()));
            }
            kind::DIR_SYNC => self.sync_names(offset as usize),
            other => panic!("the log of the disk holds a record of kind {other} at {at}"),
        }
    }

    fn name(&mut self, at: usize, change: Name) {
        rename(&mut self.names, &change);
        self.pending.push((at, change));
    }

    /// Makes the names safe that were changed before.
    fn sync_names(&mut self, before: usize) {
        let later = self.pending.partition_point(|(at, _)| *at < before);
        for (_, change) in self.pending.drain(..later) {
            rename(&mut self.safe_names, &change);
        }
    }

    /// The files that are left, with what they hold.
    fn lights_out(mut self, cut: &mut Cut) -> Vec<(PathBuf, Vec<u8>)> {
        let changes = self.pending.len() as u64;
        let reached = self.dice.roll(changes + 1) as usize;
        let until = self.pending.get(reached).map_or(usize::MAX, |(at, _)| *at);
        self.sync_names(until);
        let mut left = Vec::new();
        // Nothing, everything but the last, whole writes, or sectors: each is a way in which disks fail.
        let way = self.dice.roll(4);
        let chance = self.dice.roll(101);
        for (path, number) in &self.safe_names {
            let content = std::mem::take(&mut self.contents[*number]);
            let mut bytes = content.safe;
            let last = content.pending.len().saturating_sub(1 + self.dice.roll(4) as usize);
            for (n, (_, done)) in content.pending.iter().enumerate() {
                let dice = &mut *self.dice;
                let length = if let Pending::Write { length, .. } = done { *length as u64 } else { 0 };
                cut.open_writes += u64::from(length > 0);
                let reached = match way {
                    0 => 0,
                    1 => apply(self.log, &mut bytes, done, |_| n < last),
                    2 => {
                        let whole = dice.roll(100) < chance;
                        apply(self.log, &mut bytes, done, |_| whole)
                    }
                    _ => apply(self.log, &mut bytes, done, |_| dice.roll(100) < chance),
                };
                cut.dropped += length - reached;
            }
            left.push((path.clone(), bytes));
        }
        left
    }
}

fn rename(names: &mut Names, change: &Name) {
    match change {
        Name::Made(path, number) => {
            names.insert(path.clone(), *number);
        }
        Name::Unlinked(path) => {
            names.remove(path);
        }
        Name::Renamed(from, to) => {
            if let Some(number) = names.remove(from) {
                names.insert(to.clone(), number);
            }
        }
    }
}

/// Does to the bytes what was done to the file, as far as `reaches` says so of each sector. How many bytes.
fn apply(log: &[u8], bytes: &mut Vec<u8>, done: &Pending, mut reaches: impl FnMut(usize) -> bool) -> u64 {
    match *done {
        Pending::Truncate(length) => {
            if reaches(0) {
                bytes.resize(length, 0);
            }
            0
        }
        Pending::Write { offset, from, length } => {
            let (mut at, mut reached) = (offset, 0);
            while at < offset + length {
                let end = ((at / SECTOR + 1) * SECTOR).min(offset + length);
                if reaches(at) {
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    bytes[at..end].copy_from_slice(&log[from + at - offset..from + end - offset]);
                    reached += end - at;
                }
                at = end;
            }
            reached as u64
        }
    }
}
