//! Refresh tokens: 32 random bytes, kept only as their SHA-256, then the session they belong to and a proof that this
//! backend said so. By the proof a token that was spent and forgotten long ago still ends its session when somebody
//! uses it, so that spent tokens need not be kept for as long as sessions live.
//!
//! Tokens from before that are the 32 bytes alone; they are kept while their session lives.
//!
//! Whoever repeats a refresh within the grace must get the same successor, and the successor is nowhere in the
//! database in readable form: it is kept XORed with a hash of the token it follows, so only that token opens it.
//! Each token seals exactly one successor, so the pad is used once.

use crate::clock;
use crate::secret::Secret;
use crate::store::{SessionId, TokenHash};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

const PROOF: usize = 16;

/// A refresh token in the clear. Never printed.
pub struct RefreshToken([u8; 32]);

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshToken")
    }
}

impl RefreshToken {
    pub fn new() -> std::io::Result<RefreshToken> {
        Ok(RefreshToken(clock::random_bytes()?))
    }

    pub fn hash(&self) -> TokenHash {
        Sha256::digest(self.0).into()
    }

    pub fn seal(&self, successor: &RefreshToken) -> [u8; 32] {
        self.pad(successor.0)
    }

    pub fn open(&self, sealed: [u8; 32]) -> RefreshToken {
        RefreshToken(self.pad(sealed))
    }

    fn pad(&self, mut bytes: [u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"heyho refresh successor\0");
        hash.update(self.0);
        for (byte, pad) in bytes.iter_mut().zip(hash.finalize()) {
            *byte ^= pad;
        }
        bytes
    }
}

/// What writes tokens and reads them.
pub struct Families([u8; 32]);

impl std::fmt::Debug for Families {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Families")
    }
}

impl Families {
    pub fn new(secret: &Secret) -> Families {
        let mut key = Sha256::new();
        key.update(b"heyho refresh families\0");
        key.update(secret.bytes());
        Families(key.finalize().into())
    }

    /// The token as its client keeps it.
    pub fn text(&self, token: &RefreshToken, session: SessionId) -> String {
        B64.encode([&token.0[..], &session.0.as_bytes()[..], &self.proof(token, session)[..]].concat())
    }

    /// A token, and its session where it proves one. None: it is none of ours.
    pub fn parse(&self, text: &str) -> Option<(RefreshToken, Option<SessionId>)> {
        let bytes = B64.decode(text).ok()?;
        let (token, rest) = bytes.split_at_checked(32)?;
        let token = RefreshToken(token.try_into().ok()?);
        if rest.is_empty() {
            return Some((token, None));
        }
        let (session, proof) = rest.split_at_checked(16)?;
        let session = SessionId(Uuid::from_slice(session).ok()?);
        // compared by hash, so that the time taken tells nothing
        let same = Sha256::digest(proof) == Sha256::digest(self.proof(&token, session));
        same.then_some((token, Some(session)))
    }

    /// All parts have their one length, so a plain hash with the key first is enough.
    fn proof(&self, token: &RefreshToken, session: SessionId) -> [u8; PROOF] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(token.0);
        hash.update(session.0.as_bytes());
        let mut proof = [0; PROOF];
        proof.copy_from_slice(&hash.finalize()[..PROOF]);
        proof
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_before_it_opens_a_successor() {
        let (first, second, other) =
            (RefreshToken::new().unwrap(), RefreshToken::new().unwrap(), RefreshToken::new().unwrap());
        let sealed = first.seal(&second);
        assert_eq!(first.open(sealed).hash(), second.hash());
        assert_ne!(other.open(sealed).hash(), second.hash());
    }

    #[test]
    fn a_token_proves_its_session_and_no_other() {
        let ours = Families::new(&Secret::from_bytes([1; 32]));
        let (token, session) = (RefreshToken::new().unwrap(), SessionId(Uuid::from_u128(7)));
        let text = ours.text(&token, session);
        let (read, proved) = ours.parse(&text).unwrap();
        assert_eq!((read.hash(), proved), (token.hash(), Some(session)));
        let old = ours.parse(&B64.encode(token.0)).unwrap();
        assert_eq!((old.0.hash(), old.1), (token.hash(), None));

        assert!(Families::new(&Secret::from_bytes([2; 32])).parse(&text).is_none());
        let bytes = B64.decode(&text).unwrap();
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            assert!(ours.parse(&B64.encode(forged)).is_none(), "{place}");
        }
        for bad in ["", "short", &text[..44], &text[..80], "!!!"] {
            assert!(ours.parse(bad).is_none(), "{bad}");
        }
    }
}
