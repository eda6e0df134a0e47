//! Refresh tokens: 32 random bytes, kept only as their SHA-256.
//!
//! Whoever repeats a refresh within the grace must get the same successor, and the successor is nowhere in the
//! database in readable form: it is kept XORed with a hash of the token it follows, so only that token opens it.
//! Each token seals exactly one successor, so the pad is used once.

use crate::clock;
use crate::store::TokenHash;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use sha2::{Digest as _, Sha256};

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

    pub fn parse(text: &str) -> Option<RefreshToken> {
        let bytes = B64.decode(text).ok()?;
        Some(RefreshToken(bytes.try_into().ok()?))
    }

    /// As the client keeps it.
    pub fn text(&self) -> String {
        B64.encode(self.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_before_it_opens_a_successor() {
        let (first, second, other) =
            (RefreshToken::new().unwrap(), RefreshToken::new().unwrap(), RefreshToken::new().unwrap());
        let sealed = first.seal(&second);
        assert_eq!(first.open(sealed).text(), second.text());
        assert_ne!(other.open(sealed).text(), second.text());
        assert_eq!(RefreshToken::parse(&first.text()).unwrap().hash(), first.hash());
        assert!(RefreshToken::parse("short").is_none());
        assert!(RefreshToken::parse("").is_none());
    }
}
