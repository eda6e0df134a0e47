//! Sign-in over HTTP: the shapes of the reference backend first, and those of HeyHo's published service.
//!
//! | | reference | HeyHo's service |
//! |---|---|---|
//! | log in | `POST /auth/login` → `access_token` … and the user | the same route → `AccessToken` …, no user: `sub` of the token |
//! | register | `POST /auth/register` → tokens | `POST /auth/create-account` wants both names and answers no token |
//! | refresh | `POST /auth/refresh` | none (404, with a page or without): the session is over |
//! | address, password | `verify_http.rs` | the same routes |
//! | who am I | `GET /auth/me` | `GET /users/me` |

use crate::answer::{Answer, Reply};
use crate::body::{self, Body};
use crate::classify::{CheckVerdict, classify_check};
use crate::driver::Driver;
use crate::secret::Secret;
use crate::why::{NotProof, Why};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::Duration;

const LOGIN: &str = "/api/v1/auth/login";
const REGISTER: &str = "/api/v1/auth/register";
const REGISTER_HEYHO: &str = "/api/v1/auth/create-account";
const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";
const ME: &str = "/api/v1/auth/me";
const ME_HEYHO: &str = "/api/v1/users/me";

/// A session as the backend gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub access_token: Secret,
    /// HeyHo's service gives one, and has no route to use it.
    pub refresh_token: Option<Secret>,
    pub expires_in: Option<Duration>,
    pub user: User,
}

/// Who is signed in. The id is what an account is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub email: Option<String>,
}

/// New tokens of the same session.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    pub expires_in: Option<Duration>,
}

/// Why tokens are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// They end soon.
    Early,
    /// The backend has just refused them (401).
    Refused,
}

/// What is needed to register.
#[derive(Debug, Clone)]
pub struct Registration<'a> {
    pub email: &'a str,
    pub password: &'a Secret,
    pub first_name: Option<&'a str>,
    pub last_name: Option<&'a str>,
}

/// What registering came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Registered {
    SignedIn(Session),
    /// The account exists; the address has to be verified by the message that was sent.
    VerifyFirst,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AuthError {
    #[error("The e-mail address or the password is wrong.")]
    WrongCredentials,
    #[error("There is an account with this e-mail address already: log in instead.")]
    EmailTaken,
    #[error("This backend makes no new accounts by itself: ask whoever runs it for one.")]
    RegistrationClosed,
    /// 403 to a sign-in, and what the backend says of it.
    #[error("The backend does not allow it (403){}", .0.as_ref().map_or(".".to_owned(), |said| format!(": {said}")))]
    Forbidden(Option<String>),
    #[error("The e-mail address is not verified yet: follow the message that was sent to it.")]
    Unverified,
    #[error("This backend wants a first and a last name to register.")]
    NamesNeeded,
    #[error("The backend refused it: {message}")]
    Invalid { field: Option<String>, message: String },
    #[error("The session has ended: sign in again.")]
    SessionOver,
    /// There is no route to renew a session (HeyHo's service: over each hour).
    #[error("This backend ends sessions and cannot renew them: sign in again.")]
    NotRenewable,
    #[error("The code is wrong, or it is too old.")]
    WrongCode,
    #[error("This backend does that on its own pages only.")]
    NotHere,
    #[error("This backend sends no e-mail: ask whoever runs it.")]
    NoMail,
    /// Nothing was decided: the network, a fault of the backend, a wrong address; and how long it asked to be left
    /// alone, if it did.
    #[error("{}", .0.sentence())]
    NotNow(Why, Option<Duration>),
}

impl Driver {
    pub async fn login(&self, email: &str, password: &Secret) -> Result<Session, AuthError> {
        let reply = self.post(LOGIN, &json!({"email": email, "password": password.reveal()}), None).await;
        let answer = accepted(reply)?;
        self.session(&answer, Some(email)).await
    }

    pub async fn register(&self, registration: &Registration<'_>) -> Result<Registered, AuthError> {
        let mut body = json!({"email": registration.email, "password": registration.password.reveal()});
        for (name, value) in [("first_name", registration.first_name), ("last_name", registration.last_name)]
        {
            if let Some(value) = value {
                body[name] = Value::from(value);
            }
        }
        let reply = self.post(REGISTER, &body, None).await;
        if !is_missing(&reply) {
            let answer = accepted(reply)?;
            if tokens(&answer).is_none() && wants_verification(&answer) {
                return Ok(Registered::VerifyFirst);
            }
            return self.session(&answer, Some(registration.email)).await.map(Registered::SignedIn);
        }
        if registration.first_name.is_none() || registration.last_name.is_none() {
            return Err(AuthError::NamesNeeded);
        }
        let answer = accepted(self.post(REGISTER_HEYHO, &body, None).await)?;
        match tokens(&answer) {
            Some(_) => self.session(&answer, Some(registration.email)).await.map(Registered::SignedIn),
            None => Ok(Registered::VerifyFirst),
        }
    }

    /// Spends the refresh token for new ones.
    pub async fn refresh(&self, refresh_token: &Secret, asked: Asked) -> Result<Tokens, AuthError> {
        let reply = self.post_refresh(REFRESH, &json!({"refresh_token": refresh_token.reveal()})).await;
        match &reply {
            // The backend was there a moment ago, and said that the session is over; so this is how the program there
            // answers a route it does not have: a page of its own.
            Ok(answer) if asked == Asked::Refused && matches!(answer.status, 404 | 405) => {
                Err(AuthError::NotRenewable)
            }
            // What a network puts in front of the backend has no say in whether a session is over.
            Ok(answer) if matches!(answer.status, 400 | 401 | 403 | 404 | 422) && !is_refusal(answer) => {
                Err(unreadable(answer))
            }
            Ok(answer) if answer.status == 404 => Err(AuthError::NotRenewable),
            Ok(answer) if matches!(answer.status, 400 | 401 | 403 | 422) => Err(AuthError::SessionOver),
            _ => {
                let answer = accepted(reply)?;
                tokens(&answer).ok_or_else(|| unreadable(&answer))
            }
        }
    }

    /// Ends the session at the backend, as far as it can be reached. The tokens are forgotten either way.
    pub async fn logout(
        &self,
        access_token: &Secret,
        refresh_token: Option<&Secret>,
    ) -> Result<(), AuthError> {
        let body = match refresh_token {
            Some(token) => json!({"refresh_token": token.reveal()}),
            None => json!({}),
        };
        match self.post(LOGOUT, &body, Some(access_token)).await {
            // Over already, or nothing to end there.
            Ok(answer) if matches!(answer.status, 200..=299 | 401 | 404) => Ok(()),
            reply => accepted(reply).map(|_| ()),
        }
    }

    /// Asks the backend who is signed in.
    pub async fn me(&self, access_token: &Secret) -> Result<User, AuthError> {
        let mut reply = self.get(ME, access_token).await;
        if is_missing(&reply) {
            reply = self.get(ME_HEYHO, access_token).await;
        }
        let answer = accepted(reply)?;
        user(&answer).ok_or_else(|| unreadable(&answer))
    }

    async fn session(&self, answer: &Answer, email: Option<&str>) -> Result<Session, AuthError> {
        let tokens = tokens(answer).ok_or_else(|| unreadable(answer))?;
        let user = match user(answer).or_else(|| subject(&tokens.access_token)) {
            Some(user) => user,
            None => self.me(&tokens.access_token).await?,
        };
        let email = user.email.or_else(|| email.map(str::to_owned));
        Ok(Session {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            expires_in: tokens.expires_in,
            user: User { id: user.id, email },
        })
    }
}

pub(crate) fn is_missing(reply: &Reply) -> bool {
    reply.as_ref().is_ok_and(|answer| matches!(answer.status, 404 | 405))
}

/// The answer if it is a success, else what it means.
pub(crate) fn accepted(reply: Reply) -> Result<Answer, AuthError> {
    if let Ok(answer) = &reply
        && matches!(answer.status, 200 | 201 | 204)
    {
        return Ok(answer.clone());
    }
    if let Ok(answer) = &reply {
        let body = Body::read(&answer.body);
        let coded = match body.code() {
            Some("INVALID_CREDENTIALS") => Some(AuthError::WrongCredentials),
            Some("EMAIL_TAKEN") => Some(AuthError::EmailTaken),
            Some("EMAIL_NOT_VERIFIED") => Some(AuthError::Unverified),
            Some("REGISTRATION_CLOSED") => Some(AuthError::RegistrationClosed),
            Some("NO_MAIL") => Some(AuthError::NoMail),
            Some("VALIDATION_ERROR") => Some(invalid(&body)),
            Some(_) if answer.status == 403 => Some(forbidden(&body)),
            Some(_) => None,
            None => by_status(answer.status, &body),
        };
        if let Some(error) = coded {
            return Err(error);
        }
    }
    Err(match classify_check(&reply) {
        CheckVerdict::SignedOut => AuthError::WrongCredentials,
        CheckVerdict::Configuration(why) => AuthError::NotNow(why, None),
        CheckVerdict::Later { why, floor } => AuthError::NotNow(why, floor),
        // Unreachable: a good check is a 200, which was taken above.
        CheckVerdict::Good => AuthError::NotNow(Why::NotProof { answer: NotProof::NotAnObject }, None),
    })
}

/// HeyHo's service says by status what went wrong, and by `field-error` where.
fn by_status(status: u16, body: &Body) -> Option<AuthError> {
    let Body::Object(object) = body else { return None };
    let (field, text) = field_error(object);
    let taken =
        field.as_deref() == Some("email") && text.as_deref().is_some_and(|text| text.contains("taken"));
    match status {
        401 => Some(AuthError::WrongCredentials),
        403 | 422 if taken => Some(AuthError::EmailTaken),
        403 if object.message().is_some_and(|it| it.to_ascii_lowercase().contains("verif")) => {
            Some(AuthError::Unverified)
        }
        403 => Some(forbidden(body)),
        400 | 409 | 422 => Some(invalid(body)),
        _ => None,
    }
}

fn forbidden(body: &Body) -> AuthError {
    let Body::Object(object) = body else { return AuthError::Forbidden(None) };
    AuthError::Forbidden(object.message())
}

fn field_error(object: &body::Object) -> (Option<String>, Option<String>) {
    let Some(Value::Array(pair)) = object.find("field-error") else { return (None, None) };
    (pair.first().and_then(body::text), pair.get(1).and_then(body::text))
}

fn invalid(body: &Body) -> AuthError {
    let Body::Object(object) = body else {
        return AuthError::Invalid { field: None, message: "no reason given".to_owned() };
    };
    let (field, text) = field_error(object);
    let field = field.or_else(|| object.find("field").and_then(body::text));
    let message = text.or_else(|| object.message()).unwrap_or_else(|| "no reason given".to_owned());
    AuthError::Invalid { field, message }
}

/// A success that says nothing of what was asked.
fn unreadable(answer: &Answer) -> AuthError {
    let why = match Body::read(&answer.body) {
        Body::Html => Why::Portal,
        Body::Empty => Why::NotProof { answer: NotProof::Empty },
        Body::NotJson => Why::NotProof { answer: NotProof::NotJson },
        Body::NotAnObject | Body::Object(_) => Why::NotProof { answer: NotProof::NotAnObject },
    };
    AuthError::NotNow(why, None)
}

/// A program that has no such route, or an error in its own words; not a page.
fn is_refusal(answer: &Answer) -> bool {
    match Body::read(&answer.body) {
        Body::Object(object) => answer.status == 404 || object.says_no() || object.message().is_some(),
        Body::Empty => answer.status == 404,
        Body::Html | Body::NotJson | Body::NotAnObject => false,
    }
}

fn wants_verification(answer: &Answer) -> bool {
    match Body::read(&answer.body) {
        Body::Object(object) => object.find("verification_required") == Some(&Value::Bool(true)),
        _ => false,
    }
}

fn tokens(answer: &Answer) -> Option<Tokens> {
    let Body::Object(object) = Body::read(&answer.body) else { return None };
    let text = |names: [&str; 2]| names.iter().find_map(|name| object.find(name)?.as_str().map(Secret::new));
    let seconds = ["expires_in", "ExpiresIn"].iter().find_map(|name| object.find(name)?.as_u64());
    Some(Tokens {
        access_token: text(["access_token", "AccessToken"])?,
        refresh_token: text(["refresh_token", "RefreshToken"]),
        expires_in: seconds.map(Duration::from_secs),
    })
}

fn user(answer: &Answer) -> Option<User> {
    let Body::Object(object) = Body::read(&answer.body) else { return None };
    let whole = object.find("user").or_else(|| object.find("data"));
    let value = |name: &str| match whole {
        Some(Value::Object(user)) => user.get(name),
        _ => object.find(name),
    };
    Some(User {
        id: id_text(value("id")?)?,
        email: value("email").and_then(Value::as_str).map(str::to_owned),
    })
}

/// The `sub` of a token. Its signature is the backend's to check: here it only names the account.
fn subject(token: &Secret) -> Option<User> {
    let payload = token.reveal().split('.').nth(1)?;
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()?;
    Some(User { id: id_text(claims.get("sub")?)?, email: None })
}

fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
