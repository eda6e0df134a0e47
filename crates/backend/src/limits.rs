//! Every limit and interval of the backend, each with its reason. Nothing else in the crate holds such a number.

use crate::clock::{DAY, HOUR, MINUTE, Millis, SECOND};
use std::time::Duration;

/// Records of one kind in one request: the contract's number, told in `/capabilities`.
pub const MAX_RECORDS: usize = 1_000;

/// An access token is checked against its session at every request, so its life only bounds what a copied signing
/// secret is worth. The contract says 900 s.
pub const ACCESS_TOKEN_LIFE: Millis = 15 * MINUTE;

/// A companion that was not started for this long asks for the password again.
pub const REFRESH_TOKEN_LIFE: Millis = 90 * DAY;

/// A refresh whose answer was lost may be repeated for this long and gets the same successor (contract).
pub const REFRESH_GRACE: Millis = 30 * SECOND;

/// How long a 200 is kept to be replayed (contract).
pub const IDEMPOTENCY_LIFE: Millis = 24 * 60 * MINUTE;

/// A code sent by e-mail: time to find the message, not to forget it.
pub const CODE_LIFE: Millis = 15 * MINUTE;
/// Eight digits and five attempts: one chance in twenty million.
pub const CODE_DIGITS: usize = 8;
pub const CODE_ATTEMPTS: i64 = 5;

/// Messages under way to the SMTP server, and those that wait for that: a burst of registrations, not a flood.
pub const MAILS_AT_ONCE: usize = 4;
pub const MAILS_WAITING: usize = 1_000;
/// When the server stops: what is not sent by then is given up, and its reader asks again.
pub const MAIL_FINISH: Duration = Duration::from_secs(5);
/// For each step of a conversation with the SMTP server.
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(30);
/// After the first attempt, and after those that follow: a server that greylists is asked again, within a code's life.
pub const MAIL_PAUSES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(20), Duration::from_secs(120), Duration::ZERO];

/// The longest idempotency key and device id: room for any UUID or hash, none for abuse.
pub const MAX_KEY_CHARS: usize = 255;
pub const MAX_DEVICE_CHARS: usize = 128;

/// The longest source: an extension's origin and a profile id. It is part of an index key.
pub const MAX_SOURCE_CHARS: usize = 512;

/// RFC 5321 allows an address of 254.
pub const MAX_EMAIL_CHARS: usize = 254;
pub const MIN_PASSWORD_CHARS: usize = 8;
/// Argon2 reads all of it; nobody types more.
pub const MAX_PASSWORD_CHARS: usize = 1_024;
pub const MAX_NAME_CHARS: usize = 200;

/// A body beyond this is a large one: twice the batch of a companion. Of those that are here whole, only so many are at
/// work at once, so that they and their inflated forms take at most some 0.5 GB; and of one user's half as many, so that
/// nobody takes all the places.
pub const LARGE_BODY: usize = 1024 * 1024;
pub const LARGE_BODIES_AT_ONCE: usize = 4;
pub const LARGE_BODIES_OF_ONE_USER: usize = 2;
/// While they come, they hold what has come of them, and no place: so who sends slowly keeps none from anybody. Four of
/// the largest, and one of one user's.
pub const LARGE_ROOM: usize = 256 * 1024 * 1024;
pub const USER_LARGE_ROOM: usize = 65 * 1024 * 1024;
/// No operator may choose more: one of these would find no room in its user's.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// All other bodies of records that are held at once, as they were sent and while they are inflated: 256 batches of
/// companions. What becomes of them on their way into the database is a few times as much.
pub const BODY_ROOM: usize = 128 * 1024 * 1024;
/// Of one user's: as many batches as [`USER_BODIES`].
pub const USER_BODY_ROOM: usize = 32 * 1024 * 1024;
/// Bodies without records, most of which need no sign-in: nobody who has none takes room from those who have, and no
/// network that of the others. A usual one takes 1 KB, and only while it comes.
pub const FORM_ROOM: usize = 64 * 1024 * 1024;
pub const NETWORK_FORM_ROOM: usize = 256 * 1024;

/// Batches of one user that were read and wait, or are at work. A companion sends one after another.
pub const USER_BODIES: usize = 64;

/// Requests of one user that are at work in the database at once: of 16 connections to PostgreSQL nobody takes them all,
/// and batches of one user wait for each other anyway.
pub const USER_AT_ONCE: usize = 4;
/// Longer than a few large batches take; who waits longer hears 429.
pub const TURN_WAIT: Duration = Duration::from_secs(10);

/// Rows that are deleted, or tied to a visit that came after them, in one transaction: others write between two of them,
/// and none comes near a statement's time.
pub const SLICE: usize = 1_000;
/// Rows of each kind that a deletion has marked at once; then it looks again. It holds their ids.
pub const MARKED: usize = 100_000;

/// A refresh token that was spent longer ago is forgotten: its own text proves whose it was, so its use still ends the
/// session. Far longer than the grace, for nodes whose clocks differ.
pub const SPENT_TOKEN_LIFE: Millis = HOUR;

/// Rows of `browsing_data` in one answer.
pub const DEFAULT_PAGE: i64 = 500;
pub const MAX_PAGE: i64 = 1_000;

/// A page ends early when its records have this many bytes: it is held while its client takes it.
pub const PAGE_BYTES: usize = 1024 * 1024;
/// Pages and exports of one user that are read, or that their clients take, at once: of an export no more than a page is
/// held. A reader asks for one after another.
pub const USER_ANSWERS: usize = 16;

/// What is left of a body that was refused is read so far, and for so long, before it is answered: a companion's batch.
pub const DRAIN_BYTES: usize = 1024 * 1024;
pub const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Bytes a second: who takes an answer slower than that has the answer deadline, no longer.
pub const SLOWEST_READER: f64 = 4096.0;

/// The head of a request: tokens and cursors have a few hundred bytes. A connection holds one while it comes.
pub const HEAD_BYTES: usize = 32 * 1024;

/// Connections that wait to be accepted: with the usual 128, of 500 at once some are dropped, and a client that waits for
/// the server to speak finds out after many seconds.
pub const BACKLOG: i32 = 1024;

/// What the system holds of an answer for one connection. Its own choice grows to megabytes, which slow readers would
/// take of every connection.
pub const SEND_BUFFER: usize = 256 * 1024;

/// A bucket: so many requests at once, and so many more a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub per_minute: u32,
}

/// What an operator or a test may choose differently.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body, as sent and as inflated. 1,000 records with 50 KB of metadata each fit; a batch of the
    /// companion has 0.5 MB.
    pub max_body_bytes: usize,
    /// Largest body of every route that takes no records.
    pub max_small_body_bytes: usize,
    /// Of one user. A backlog of 50,000 records is 250 to 500 batches: it drains without stalling, five times over.
    pub user_requests: Rate,
    /// From one address of the network: an office behind one address, all of whom drain a backlog at once.
    pub network_requests: Rate,
    /// Attempts to register or to sign in from one address of the network.
    pub network_sign_ins: Rate,
    /// Attempts for one e-mail address: a person who mistypes, not a program that guesses.
    pub address_sign_ins: Rate,
    /// Messages asked for by or for one e-mail address: each may be delayed or go astray, none may be a nuisance.
    pub address_mails: Rate,
    /// The same in a day: a code has five attempts, so a hundred guesses a day at eight digits.
    pub address_mails_a_day: u32,
    /// Connections at once: their heads take 128 MB at most.
    pub connections: usize,
    /// From one address of the network: an office, each with a few. Behind a proxy there is no such bound.
    pub network_connections: usize,
    /// A body that is not there whole by then is refused with 408. A batch of 0.5 MB fits through 70 kbit/s.
    pub body_deadline: Duration,
    /// The same where no records are expected: a few hundred bytes.
    pub form_deadline: Duration,
    /// A request whose head is not there whole by then, or a connection that is idle for that long, is closed.
    pub header_deadline: Duration,
    /// How long an answer may wait for a client that hardly takes it.
    pub answer_deadline: Duration,
    /// A large body for which there is no place waits this long, then hears 429; so who has as many answers as may be.
    pub place_wait: Duration,
    /// How long requests under way may take to finish when the server is asked to stop.
    pub stop_deadline: Duration,
    /// A request whose twin is still at work waits this long for its answer, then hears 409.
    pub twin_wait: Duration,
    /// Connections of one node to PostgreSQL: its default of 100 serves five nodes.
    pub postgres_connections: u32,
    /// Ours take milliseconds; one that hangs must not hold a user's lock for ever.
    pub statement_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_body_bytes: MAX_BODY_BYTES,
            max_small_body_bytes: 64 * 1024,
            user_requests: Rate { burst: 2_500, per_minute: 600 },
            network_requests: Rate { burst: 10_000, per_minute: 6_000 },
            network_sign_ins: Rate { burst: 100, per_minute: 30 },
            address_sign_ins: Rate { burst: 10, per_minute: 6 },
            address_mails: Rate { burst: 3, per_minute: 1 },
            address_mails_a_day: 20,
            connections: 4_096,
            network_connections: 600,
            body_deadline: Duration::from_secs(60),
            form_deadline: Duration::from_secs(10),
            header_deadline: Duration::from_secs(30),
            answer_deadline: Duration::from_secs(30),
            place_wait: Duration::from_secs(10),
            stop_deadline: Duration::from_secs(20),
            twin_wait: Duration::from_secs(5),
            postgres_connections: 16,
            statement_timeout: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// For the fault without deadlines.
    pub fn never_close(&mut self) {
        const HOUR: Duration = Duration::from_secs(3_600);
        (self.header_deadline, self.body_deadline, self.answer_deadline) = (HOUR, HOUR, HOUR);
        self.form_deadline = HOUR;
    }
}
