//! Reading a request's body: never more than the limit, as sent and as inflated, and not for longer than the deadline.
//!
//! What bodies hold stays bounded whatever the number of connections. Each body takes [`Room`] for what it holds, and is refused
//! where there is none, or where its user, or the network it comes from, has their share; beyond [`LARGE`], room of another kind. A large one that is here whole takes one of a few places
//! besides, and waits for it a while; the batches of companions are smaller and never wait for the large ones. Both are
//! kept until the records are saved.

use crate::error::ApiError;
use crate::guard::ClientIp;
use crate::limits::{
    BODY_ROOM, FORM_ROOM, LARGE_BODIES_AT_ONCE, LARGE_BODIES_OF_ONE_USER, LARGE_BODY as LARGE, LARGE_ROOM,
    Limits, NETWORK_FORM_ROOM, USER_BODY_ROOM, USER_LARGE_ROOM,
};
use crate::rates::network;
use crate::room::{Held, Room};
use crate::store::UserId;
use crate::turns::Turns;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt as _;
use heyho_records::fault::planted;
use serde::de::DeserializeOwned;
use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// A body that was sent with more bytes than this is inflated away from the async threads.
const QUICK: usize = 16 * 1024;

/// A whole body, with what it holds.
#[derive(Debug)]
pub struct Received {
    pub bytes: Vec<u8>,
    kept: Kept,
}

impl Received {
    /// Lets the bytes go and keeps their room: what was read from them is still held.
    pub fn into_kept(self) -> Kept {
        self.kept
    }
}

/// What a body holds while it is here.
#[derive(Debug)]
pub struct Kept {
    room: Held,
    /// Of a large one.
    place: Option<Place>,
}

/// One of the user's places, and one of all.
#[derive(Debug)]
struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Reads bodies within the limits of this server.
#[derive(Debug)]
pub struct Bodies {
    room: Room<UserId>,
    forms: Room<IpAddr>,
    large: Room<UserId>,
    /// All have the same key.
    places: Turns<()>,
    own_places: Turns<UserId>,
    place_wait: Duration,
    deadline: Duration,
    form_deadline: Duration,
    max_bytes: usize,
    max_small_bytes: usize,
}

impl Bodies {
    pub fn new(limits: &Limits) -> Bodies {
        Bodies {
            room: Room::new(BODY_ROOM, USER_BODY_ROOM),
            forms: Room::new(FORM_ROOM, NETWORK_FORM_ROOM),
            large: Room::new(LARGE_ROOM, USER_LARGE_ROOM),
            places: Turns::new(LARGE_BODIES_AT_ONCE),
            own_places: Turns::new(LARGE_BODIES_OF_ONE_USER),
            place_wait: limits.place_wait,
            deadline: limits.body_deadline,
            form_deadline: limits.form_deadline,
            max_bytes: limits.max_body_bytes,
            max_small_bytes: limits.max_small_body_bytes,
        }
    }

    /// A body of records, inflated if it was sent with gzip.
    pub async fn read(&self, user: UserId, headers: &HeaderMap, body: Body) -> Result<Received, ApiError> {
        let reading = self.within(self.room.enter(&user), Some(user), headers, body, self.max_bytes);
        tokio::time::timeout(self.deadline, reading).await.map_err(|_| ApiError::BodyTooSlow)?
    }

    /// A small JSON body, from somebody who may not be signed in.
    pub async fn json<T: DeserializeOwned>(
        &self,
        client: ClientIp,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<T, ApiError> {
        let room = self.forms.enter(&network(client.0));
        let reading = self.within(room, None, headers, body, self.max_small_bytes.min(LARGE));
        let read = tokio::time::timeout(self.form_deadline, reading).await;
        let received = read.map_err(|_| ApiError::BodyTooSlow)??;
        serde_json::from_slice(&received.bytes).map_err(|e| ApiError::InvalidJson(e.to_string()))
    }

    async fn within(
        &self,
        room: Held,
        user: Option<UserId>,
        headers: &HeaderMap,
        body: Body,
        max_bytes: usize,
    ) -> Result<Received, ApiError> {
        let gzip = encoding(headers)?;
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > max_bytes) {
            return Err(ApiError::PayloadTooLarge { max_bytes });
        }
        let empty = Received { bytes: Vec::new(), kept: Kept { room, place: None } };
        let received = self.collect(empty, user, body, max_bytes).await?;
        if gzip { self.inflate(received, user, max_bytes).await } else { Ok(received) }
    }

    async fn collect(
        &self,
        mut received: Received,
        user: Option<UserId>,
        body: Body,
        max_bytes: usize,
    ) -> Result<Received, ApiError> {
        let mut chunks = body.into_data_stream();
        let mut large = false;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| ApiError::InvalidJson(format!("the body broke off: {e}")))?;
            let length = received.bytes.len() + chunk.len();
            if length > max_bytes {
                return Err(ApiError::PayloadTooLarge { max_bytes });
            }
            if length > LARGE
                && !large
                && let Some(user) = &user
            {
                (large, received.kept.room) = (true, self.large.enter(user));
            }
            // The fault: a place is taken while the body still comes.
            if large && planted("place-while-it-comes") {
                self.place(&mut received.kept, user).await?;
            }
            received.kept.room.at_least(length)?;
            received.bytes.extend_from_slice(&chunk);
        }
        if large {
            self.place(&mut received.kept, user).await?;
        }
        Ok(received)
    }

    async fn inflate(
        &self,
        received: Received,
        user: Option<UserId>,
        max_bytes: usize,
    ) -> Result<Received, ApiError> {
        let Received { bytes, mut kept } = received;
        let (sent, small) = (bytes.len(), max_bytes.min(LARGE));
        if kept.place.is_none() {
            kept.room.at_least(sent + small)?;
        }
        let (bytes, first) = match sent {
            ..QUICK => {
                let first = inflate(&bytes, small);
                (bytes, first)
            }
            _ => {
                blocking(move || {
                    let first = inflate(&bytes, small);
                    (bytes, first)
                })
                .await?
            }
        };
        match first {
            Err(ApiError::PayloadTooLarge { .. }) if small < max_bytes => {
                kept.room.at_most(sent);
                self.place(&mut kept, user).await?;
                let bytes = blocking(move || inflate(&bytes, max_bytes)).await??;
                Ok(Received { bytes, kept })
            }
            Err(ApiError::PayloadTooLarge { .. }) => Err(ApiError::PayloadTooLarge { max_bytes }),
            Err(other) => Err(other),
            Ok(bytes) => {
                kept.room.at_most(bytes.len());
                Ok(Received { bytes, kept })
            }
        }
    }

    /// A place among the large ones.
    async fn place(&self, kept: &mut Kept, user: Option<UserId>) -> Result<(), ApiError> {
        let (None, Some(user)) = (&kept.place, user) else { return Ok(()) };
        let missing = ApiError::RateLimited { retry_after: 1 };
        let taking = async {
            let own = self.own_places.turn(&user, self.place_wait).await?;
            let all = self.places.turn(&(), self.place_wait).await?;
            Some(Place { _own: own, _all: all })
        };
        kept.place = Some(taking.await.ok_or(missing)?);
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::Internal(e.into()))
}

fn encoding(headers: &HeaderMap) -> Result<bool, ApiError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        other => Err(ApiError::UnsupportedEncoding(other.chars().take(40).collect())),
    }
}

fn inflate(bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let mut inflated = Vec::new();
    let max_bytes = if planted("no-decoded-limit") { usize::MAX } else { max_bytes };
    let one_more = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes)
        .take(one_more)
        .read_to_end(&mut inflated)
        .map_err(|e| ApiError::InvalidJson(format!("it says it is gzip but cannot be inflated: {e}")))?;
    if inflated.len() > max_bytes {
        return Err(ApiError::PayloadTooLarge { max_bytes });
    }
    Ok(inflated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bodies(max_body_bytes: usize) -> Bodies {
        Bodies::new(&Limits { max_body_bytes, ..Limits::default() })
    }

    fn user(number: usize) -> UserId {
        UserId(uuid::Uuid::from_u128(number as u128))
    }

    fn client(number: u8) -> ClientIp {
        ClientIp([192, 0, 2, number].into())
    }

    fn gzipped() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        headers
    }

    async fn read_gzip(bytes: Vec<u8>, max: usize) -> Result<Vec<u8>, ApiError> {
        bodies(max).read(user(1), &gzipped(), Body::from(bytes)).await.map(|received| received.bytes)
    }

    #[tokio::test]
    async fn a_body_that_inflates_beyond_the_limit_is_refused_before_it_is_whole() {
        assert_eq!(read_gzip(gzip(b"{}"), 100).await.unwrap(), b"{}");
        let bomb = gzip(&vec![b' '; 8 * 1024 * 1024]);
        assert!(bomb.len() < 16 * 1024);
        for max in [1_000, LARGE, 2 * LARGE] {
            let error = read_gzip(bomb.clone(), max).await.unwrap_err();
            assert!(matches!(error, ApiError::PayloadTooLarge { max_bytes } if max_bytes == max), "{error}");
        }
        assert_eq!(read_gzip(bomb, 8 * 1024 * 1024).await.unwrap().len(), 8 * 1024 * 1024);
    }

    #[tokio::test]
    async fn large_bodies_take_turns_and_small_ones_do_not() {
        let bodies = bodies(2 * LARGE);
        let headers = HeaderMap::new();
        let read =
            |n: usize, length: usize| bodies.read(user(n), &headers, Body::from(vec![b' '; length])).boxed();
        let mut held = Vec::new();
        for n in 0..LARGE_BODIES_AT_ONCE {
            held.push(read(n / LARGE_BODIES_OF_ONE_USER, LARGE + 1).await.unwrap());
        }
        let mut waiting = read(99, LARGE + 1);
        assert!((&mut waiting).now_or_never().is_none());
        assert!(read(99, LARGE).now_or_never().is_some());
        held.pop();
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_takes_all_places_and_who_finds_none_may_come_back() {
        let place_wait = Duration::from_millis(1);
        let bodies = Bodies::new(&Limits { max_body_bytes: 2 * LARGE, place_wait, ..Limits::default() });
        let headers = HeaderMap::new();
        let read = |n: usize| bodies.read(user(n), &headers, Body::from(vec![b' '; LARGE + 1]));
        let mut held = Vec::new();
        for _ in 0..LARGE_BODIES_OF_ONE_USER {
            held.push(read(1).await.unwrap());
        }
        assert_eq!(read(1).await.unwrap_err().code(), "RATE_LIMITED");
        held.push(read(2).await.unwrap());
        drop(held);
        read(1).await.unwrap();
    }

    /// What has come so far, and nothing more for ever.
    fn stuck(bytes: usize) -> Body {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b' '; bytes])]);
        Body::from_stream(first.chain(futures_util::stream::pending()))
    }

    #[tokio::test]
    async fn who_sends_slowly_keeps_no_place_from_anybody() {
        let bodies = bodies(8 * LARGE);
        let headers = HeaderMap::new();
        let mut slow: Vec<_> =
            (0..40).map(|n| bodies.read(user(n / 2), &headers, stuck(2 * LARGE)).boxed()).collect();
        for reading in &mut slow {
            assert!(reading.now_or_never().is_none());
        }
        let whole = || Body::from(vec![b' '; 2 * LARGE]);
        assert!(bodies.read(user(99), &headers, whole()).now_or_never().is_some_and(|read| read.is_ok()));
        // What they hold is bounded all the same, and of each user.
        drop(slow);
        let bodies = Bodies::new(&Limits { max_body_bytes: 2 * USER_LARGE_ROOM, ..Limits::default() });
        let mut held = Vec::new();
        let refused = loop {
            let mut reading = bodies.read(user(held.len()), &headers, stuck(USER_LARGE_ROOM - LARGE)).boxed();
            match (&mut reading).now_or_never() {
                None => held.push(reading),
                Some(read) => break read.unwrap_err(),
            }
        };
        assert_eq!((refused.code(), held.len()), ("RATE_LIMITED", LARGE_ROOM / (USER_LARGE_ROOM - LARGE)));
        let mut more = bodies.read(user(0), &headers, stuck(3 * LARGE)).boxed();
        assert!((&mut more).now_or_never().is_some_and(|read| read.is_err()), "it is more than the share");
    }

    #[tokio::test]
    async fn forms_that_do_not_come_take_no_more_than_their_networks_share() {
        let bodies = bodies(LARGE);
        let headers = HeaderMap::new();
        let form = |n: u8, body: Body| bodies.json::<serde_json::Value>(client(n), &headers, body).boxed();
        let mut slow: Vec<_> = (0..600).map(|_| form(1, stuck(65_535))).collect();
        let ended = slow.iter_mut().filter_map(|reading| reading.now_or_never());
        let refused: Vec<_> = ended.map(|read| read.unwrap_err().code()).collect();
        assert_eq!(refused, ["RATE_LIMITED"].repeat(600 - NETWORK_FORM_ROOM / (64 * 1024)));
        assert!(form(1, Body::from("{}")).now_or_never().is_some_and(|read| read.is_err()));
        assert!(form(2, Body::from("{}")).now_or_never().is_some_and(|read| read.is_ok()));
    }

    #[tokio::test]
    async fn what_one_user_and_all_together_hold_is_bounded() {
        let bodies = bodies(2 * LARGE);
        let small = gzip(&vec![b' '; LARGE - 1_024]);
        let gzipped = gzipped();
        let read = |n: usize| bodies.read(user(n), &gzipped, Body::from(small.clone()));
        let mut held: Vec<Vec<Received>> = Vec::new();
        loop {
            let mut own = Vec::new();
            let refused = loop {
                match read(held.len()).await {
                    Ok(received) => own.push(received),
                    Err(refused) => break refused,
                }
                assert!(own.len() * (LARGE - 1_024) <= USER_BODY_ROOM);
            };
            assert_eq!(refused.code(), "RATE_LIMITED");
            if own.is_empty() {
                break;
            }
            held.push(own);
            assert!(held.iter().flatten().map(|r| r.bytes.len()).sum::<usize>() <= BODY_ROOM);
        }
        assert!(held.len() > 1, "one user took all of it");
        // who is not signed in is none of these
        let form: Result<serde_json::Value, _> =
            bodies.json(client(1), &HeaderMap::new(), Body::from("{}")).await;
        form.unwrap();
        drop(held);
        read(1).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_gzip_is_named_and_other_encodings_are_refused() {
        assert_eq!(read_gzip(b"{}".to_vec(), 100).await.unwrap_err().code(), "INVALID_JSON");
        let cut = gzip(&[b'x'; 1_000]);
        assert_eq!(
            read_gzip(cut[..cut.len() / 2].to_vec(), 10_000).await.unwrap_err().code(),
            "INVALID_JSON"
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "br".parse().unwrap());
        assert_eq!(
            bodies(10).read(user(1), &headers, Body::empty()).await.unwrap_err().code(),
            "UNSUPPORTED_ENCODING"
        );
    }
}
