//! Access tokens: JWT, HS256, with `kid`, `iss` and `aud`, for 15 minutes.
//!
//! `sub` is the user, `sid` the session. A token that verifies is not yet a sign-in: the session it names must be
//! alive in the store (see `auth::caller`), so signing out works at once. Time comes from the caller, because the
//! library would ask the machine.

use crate::clock::Millis;
use crate::limits::ACCESS_TOKEN_LIFE;
use crate::secret::Secret;
use crate::store::{SessionId, UserId};
use anyhow::Context as _;
use heyho_records::fault::planted;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

const ISSUER: &str = "heyho-backend";
const AUDIENCE: &str = "heyho-api";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    sid: Uuid,
    /// Seconds since the epoch.
    iat: i64,
    exp: i64,
}

pub struct AccessTokens {
    kid: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    rules: Validation,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessTokens(kid {})", self.kid)
    }
}

impl AccessTokens {
    pub fn new(secret: &Secret) -> AccessTokens {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_exp = false;
        // Names the key without telling anything of it.
        let mut name = Sha256::new();
        name.update(b"heyho-backend signing key\0");
        name.update(secret.bytes());
        AccessTokens {
            kid: name.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect(),
            signing: EncodingKey::from_secret(secret.bytes()),
            verifying: DecodingKey::from_secret(secret.bytes()),
            rules,
        }
    }

    pub fn issue(&self, user: UserId, session: SessionId, now: Millis) -> anyhow::Result<String> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user.0,
            sid: session.0,
            iat: now / 1_000,
            exp: (now + ACCESS_TOKEN_LIFE) / 1_000,
        };
        encode(&header, &claims, &self.signing).context("signing an access token")
    }

    /// Whose token this is, if it is ours and not past its time.
    pub fn read(&self, token: &str, now: Millis) -> Option<(UserId, SessionId)> {
        if decode_header(token).ok()?.kid.as_deref() != Some(&self.kid) {
            return None;
        }
        let decoded = match planted("any-signature") {
            true => insecure_decode::<Claims>(token),
            false => decode::<Claims>(token, &self.verifying, &self.rules),
        };
        let claims = decoded.ok()?.claims;
        (now / 1_000 < claims.exp).then_some((UserId(claims.sub), SessionId(claims.sid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

    const NOW: Millis = 1_700_000_000_000;

    fn ids() -> (UserId, SessionId) {
        (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)))
    }

    fn tokens(seed: u8) -> AccessTokens {
        AccessTokens::new(&Secret::from_bytes([seed; 32]))
    }

    #[test]
    fn a_token_says_whose_it_is_until_its_time_is_over() {
        let token = tokens(1).issue(ids().0, ids().1, NOW).unwrap();
        assert_eq!(tokens(1).read(&token, NOW), Some(ids()));
        assert_eq!(tokens(1).read(&token, NOW + ACCESS_TOKEN_LIFE - 1_000), Some(ids()));
        assert_eq!(tokens(1).read(&token, NOW + ACCESS_TOKEN_LIFE), None);
    }

    #[test]
    fn tokens_of_another_key_without_signature_or_for_another_audience_are_refused() {
        let ours = tokens(1);
        let token = ours.issue(ids().0, ids().1, NOW).unwrap();
        assert_eq!(tokens(2).read(&token, NOW), None);

        let parts: Vec<&str> = token.split('.').collect();
        let none = B64.encode(format!(r#"{{"alg":"none","typ":"JWT","kid":"{}"}}"#, ours.kid));
        assert_eq!(ours.read(&format!("{none}.{}.", parts[1]), NOW), None);
        assert_eq!(ours.read(&format!("{}.{}.", parts[0], parts[1]), NOW), None);

        let other: serde_json::Value = serde_json::from_slice(&B64.decode(parts[1]).unwrap()).unwrap();
        for (claim, value) in [("aud", "another-api"), ("iss", "another-backend")] {
            let mut claims = other.clone();
            claims[claim] = value.into();
            let header = Header { kid: Some(ours.kid.clone()), ..Header::new(Algorithm::HS256) };
            let forged = encode(&header, &claims, &ours.signing).unwrap();
            assert_eq!(ours.read(&forged, NOW), None, "{claim}");
        }
        assert_eq!(ours.read("", NOW), None);
        assert_eq!(ours.read("a.b.c", NOW), None);
    }
}
