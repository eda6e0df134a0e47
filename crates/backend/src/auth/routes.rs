//! `/auth/*`: register, sign in, refresh, sign out, who am I.

use super::refresh::RefreshToken;
use super::{Caller, address, codes};
use crate::app::{App, Shared};
use crate::clock::{self, Millis};
use crate::config;
use crate::error::ApiError;
use crate::guard::ClientIp;
use crate::limits::{
    ACCESS_TOKEN_LIFE, MAX_NAME_CHARS, MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, REFRESH_TOKEN_LIFE,
};
use crate::openapi::{Bodies, Common, ErrorBody, SignedInOnly};
use crate::store::{
    Created, NewSession, NewUser, PasswordHash, Presented, Purpose, Rotation, SessionEnd, SessionId, User,
    UserId,
};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Deserialize, ToSchema)]
pub struct Registration {
    #[schema(value_type = String, format = Email, max_length = 254, example = "ada@example.org")]
    email: Option<String>,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024, example = "correct horse")]
    password: Option<String>,
    #[schema(max_length = 200)]
    first_name: Option<String>,
    #[schema(max_length = 200)]
    last_name: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub struct SignIn {
    #[schema(value_type = String, min_length = 1, example = "ada@example.org")]
    email: Option<String>,
    #[schema(value_type = String, format = Password, min_length = 1, example = "correct horse")]
    password: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub struct Refresh {
    #[schema(value_type = String)]
    refresh_token: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub struct PasswordChange {
    #[schema(value_type = String, format = Password, max_length = 1024)]
    current_password: Option<String>,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    new_password: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Envelope<T> {
    pub success: bool,
    pub data: T,
}

impl<T> Envelope<T> {
    pub fn of(data: T) -> Json<Envelope<T>> {
        Json(Envelope { success: true, data })
    }
}

#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    user: Profile,
}

/// What registering came to.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Registered {
    SignedIn(SignedIn),
    /// With an SMTP server: the code that was sent comes first, then the sign-in.
    VerifyFirst {
        user: Profile,
        verification_required: bool,
    },
}

#[derive(Serialize, ToSchema)]
pub struct Profile {
    #[schema(value_type = String)]
    id: Uuid,
    email: String,
}

#[derive(Serialize, ToSchema)]
pub struct Me {
    user: Profile,
}

impl From<User> for Profile {
    fn from(user: User) -> Profile {
        Profile { id: user.id.0, email: user.email }
    }
}

/// Makes an account and signs in; where addresses are confirmed, sends a code instead.
#[utoipa::path(post, path = "/register", tag = "sign-in", request_body = Registration,
    responses((status = 201, body = Envelope<Registered>),
        (status = 403, body = ErrorBody, description = "registration is closed"),
        (status = 409, body = ErrorBody), Bodies, Common))]
pub async fn register(
    State(app): State<Shared>,
    Extension(client): Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Envelope<Registered>>), ApiError> {
    if app.registration == config::Registration::Closed {
        return Err(ApiError::RegistrationClosed);
    }
    let form: Registration = app.bodies.json(client, &headers, body).await?;
    let email = address::parse(&form.email.unwrap_or_default())?;
    app.rates.sign_in(client.0, Some(&email))?;
    let password = new_password("password", form.password)?;
    let first_name = name("first_name", form.first_name)?;
    let last_name = name("last_name", form.last_name)?;
    let password_hash = app.passwords.hash(password).await.map_err(ApiError::Internal)?;
    let now = app.clock.now();
    let confirmed_at = app.mail.is_none().then_some(now);
    let user = NewUser { first_name, last_name, ..new_user(&email, password_hash, confirmed_at, now)? };
    let id = user.id;
    match app.store.create_user(user).await? {
        Created::EmailTaken => Err(ApiError::EmailTaken),
        Created::Created if app.mail.is_some() => {
            codes::send_later(&app, email.clone(), Purpose::ConfirmAddress);
            let user = Profile { id: id.0, email };
            let registered = Registered::VerifyFirst { user, verification_required: true };
            Ok((StatusCode::CREATED, Envelope::of(registered)))
        }
        Created::Created => {
            let signed_in = open_session(&app, User { id, email }).await?;
            Ok((StatusCode::CREATED, Envelope::of(Registered::SignedIn(signed_in))))
        }
    }
}

/// Signs in. The answer is the same whichever of address and password was wrong.
#[utoipa::path(post, path = "/login", tag = "sign-in", request_body = SignIn,
    responses((status = 200, body = Envelope<SignedIn>), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody, description = "the address is not confirmed yet"), Bodies, Common))]
pub async fn login(
    State(app): State<Shared>,
    Extension(client): Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Envelope<SignedIn>>, ApiError> {
    let form: SignIn = app.bodies.json(client, &headers, body).await?;
    let needed = |field, value: Option<String>| {
        value.filter(|v| !v.is_empty()).ok_or_else(|| ApiError::invalid(field, format!("{field} is missing")))
    };
    let email = address::parse(&needed("email", form.email)?).ok();
    let password = needed("password", form.password)?;
    app.rates.sign_in(client.0, email.as_deref())?;
    // neither can be anyone's; nothing is looked up and the same work is done
    let possible = email.filter(|_| password.chars().count() <= MAX_PASSWORD_CHARS);
    let password = if possible.is_some() { password } else { String::new() };
    let known = match possible {
        Some(email) => app.store.credentials(&email).await?,
        None => None,
    };
    let stored = known.as_ref().map(|k| k.password_hash.clone());
    let fits = app.passwords.verify(password, stored).await.map_err(ApiError::Internal)?;
    match known {
        Some(known) if fits && !known.confirmed && app.mail.is_some() => Err(ApiError::EmailNotVerified),
        Some(known) if fits => Ok(Envelope::of(open_session(&app, known.user).await?)),
        _ => Err(ApiError::InvalidCredentials),
    }
}

/// Both tokens anew; the one presented is spent.
#[utoipa::path(post, path = "/refresh", tag = "sign-in", request_body = Refresh,
    responses((status = 200, body = Envelope<SignedIn>), (status = 401, body = ErrorBody), Bodies, Common))]
pub async fn refresh(
    State(app): State<Shared>,
    Extension(client): Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Envelope<SignedIn>>, ApiError> {
    let form: Refresh = app.bodies.json(client, &headers, body).await?;
    let text =
        form.refresh_token.ok_or_else(|| ApiError::invalid("refresh_token", "refresh_token is missing"))?;
    let over = ApiError::Unauthorized("the refresh token is not valid, or its session is over");
    let Some((presented, session)) = app.families.parse(&text) else { return Err(over) };
    let successor = RefreshToken::new()?;
    let now = app.clock.now();
    let rotation = app
        .store
        .rotate(Presented {
            token: presented.hash(),
            session,
            successor: successor.hash(),
            successor_sealed: presented.seal(&successor),
            now,
            expires_at: now + REFRESH_TOKEN_LIFE,
        })
        .await?;
    let (user, session, token) = match rotation {
        Rotation::Rotated { user, session } => (user, session, successor),
        Rotation::Again { user, session, successor_sealed } => {
            (user, session, presented.open(successor_sealed))
        }
        Rotation::Reused => {
            tracing::warn!("a spent refresh token was used again; its session has ended");
            return Err(over);
        }
        Rotation::Unknown => return Err(over),
    };
    Ok(Envelope::of(signed_in(&app, user, session, &token)?))
}

/// Ends this session.
#[utoipa::path(post, path = "/logout", tag = "sign-in", security(("bearer" = [])),
    responses((status = 204, description = "signed out"), SignedInOnly, Common))]
pub async fn logout(State(app): State<Shared>, caller: Caller) -> Result<StatusCode, ApiError> {
    app.store.end_session(caller.session, SessionEnd::SignedOut, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends every session of the account.
#[utoipa::path(post, path = "/logout-all", tag = "sign-in", security(("bearer" = [])),
    responses((status = 204, description = "signed out everywhere"), SignedInOnly, Common))]
pub async fn logout_all(State(app): State<Shared>, caller: Caller) -> Result<StatusCode, ApiError> {
    app.store.end_all_sessions(caller.user.id, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new password; every other session ends.
#[utoipa::path(post, path = "/password", tag = "sign-in", request_body = PasswordChange, security(("bearer" = [])),
    responses((status = 204, description = "changed"), SignedInOnly, Bodies, Common))]
pub async fn change_password(
    State(app): State<Shared>,
    caller: Caller,
    Extension(client): Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let form: PasswordChange = app.bodies.json(client, &headers, body).await?;
    app.rates.sign_in(client.0, Some(&caller.user.email))?;
    let new = new_password("new_password", form.new_password)?;
    let current = form
        .current_password
        .filter(|p| p.chars().count() <= MAX_PASSWORD_CHARS)
        .ok_or_else(|| ApiError::invalid("current_password", "current_password is missing"))?;
    let known = app.store.credentials(&caller.user.email).await?.map(|k| k.password_hash);
    if !app.passwords.verify(current, known).await.map_err(ApiError::Internal)? {
        return Err(ApiError::InvalidCredentials);
    }
    let hash = app.passwords.hash(new).await.map_err(ApiError::Internal)?;
    app.store.change_password(caller.user.id, hash, caller.session, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is signed in.
#[utoipa::path(get, path = "/me", tag = "sign-in", security(("bearer" = [])),
    responses((status = 200, body = Envelope<Me>), SignedInOnly, Common))]
pub async fn me(caller: Caller) -> Json<Envelope<Me>> {
    Envelope::of(Me { user: caller.user.into() })
}

async fn open_session(app: &App, user: User) -> Result<SignedIn, ApiError> {
    let now = app.clock.now();
    let session = SessionId(clock::new_id(now)?);
    let token = RefreshToken::new()?;
    let opened = app.store.open_session(NewSession {
        id: session,
        user: user.id,
        token: token.hash(),
        now,
        expires_at: now + REFRESH_TOKEN_LIFE,
    });
    if !opened.await? {
        // the account ended meanwhile
        return Err(ApiError::InvalidCredentials);
    }
    signed_in(app, user, session, &token)
}

fn signed_in(app: &App, user: User, session: SessionId, token: &RefreshToken) -> Result<SignedIn, ApiError> {
    Ok(SignedIn {
        access_token: app.access.issue(user.id, session, app.clock.now()).map_err(ApiError::Internal)?,
        refresh_token: app.families.text(token, session),
        token_type: "Bearer",
        expires_in: ACCESS_TOKEN_LIFE / clock::SECOND,
        user: user.into(),
    })
}

/// Somebody without a name, who has stored nothing yet.
pub fn new_user(
    email: &str,
    password_hash: PasswordHash,
    confirmed_at: Option<Millis>,
    now: Millis,
) -> std::io::Result<NewUser> {
    Ok(NewUser {
        id: UserId(clock::new_id(now)?),
        email: email.to_owned(),
        password_hash,
        first_name: None,
        last_name: None,
        feed_epoch: clock::new_id(now)?.to_string(),
        confirmed_at,
        now,
    })
}

pub fn new_password(field: &'static str, password: Option<String>) -> Result<String, ApiError> {
    let password = password.unwrap_or_default();
    let length = password.chars().count();
    if (MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&length) {
        Ok(password)
    } else {
        Err(ApiError::invalid(
            field,
            format!("{field} must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters"),
        ))
    }
}

fn name(field: &'static str, name: Option<String>) -> Result<Option<String>, ApiError> {
    let name = name.map(|n| n.trim().to_owned()).filter(|n| !n.is_empty());
    match &name {
        Some(n) if n.chars().count() > MAX_NAME_CHARS || n.contains('\0') => {
            Err(ApiError::invalid(field, format!("{field} must have at most {MAX_NAME_CHARS} characters")))
        }
        _ => Ok(name),
    }
}
