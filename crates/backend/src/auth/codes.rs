//! `/verify-email`, `/resend-verification`, `/reset-password-request`, `/reset-password`: codes sent by e-mail.
//!
//! Whether an address has an account is told by none of them: asking for a code has one answer, and so has a code that
//! does not fit, whatever the reason; the work is the same. Without an SMTP server they answer 404.

use super::routes::new_password;
use super::{address, password::Passwords};
use crate::app::{App, Shared};
use crate::clock;
use crate::error::ApiError;
use crate::guard::ClientIp;
use crate::limits::{CODE_DIGITS, CODE_LIFE};
use crate::mail::Mailer;
use crate::openapi::{Bodies, Common, ErrorBody};
use crate::store::{Code, PasswordHash, Purpose, User, UserId};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub struct CodeRequest {
    #[schema(value_type = String, format = Email, max_length = 254, example = "ada@example.org")]
    email: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub struct Verification {
    #[schema(value_type = String, format = Email, max_length = 254, example = "ada@example.org")]
    email: Option<String>,
    /// The code of the message.
    #[schema(value_type = String, example = "12345678")]
    code: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub struct PasswordReset {
    #[schema(value_type = String, format = Email, max_length = 254, example = "ada@example.org")]
    email: Option<String>,
    /// The code of the message.
    #[schema(value_type = String, example = "12345678")]
    code: Option<String>,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    new_password: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Done {
    success: bool,
    message: &'static str,
}

fn done(message: &'static str) -> Json<Done> {
    Json(Done { success: true, message })
}

/// Confirms an address by the code that was sent to it.
#[utoipa::path(post, path = "/verify-email", tag = "sign-in", request_body = Verification,
    responses((status = 200, body = Done), (status = 404, body = ErrorBody), Bodies, Common))]
pub async fn verify_email(
    State(app): State<Shared>,
    Extension(client): Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>, ApiError> {
    let form: Verification = app.bodies.json(client, &headers, body).await?;
    mailer(&app)?;
    let email = address::parse(&form.email.unwrap_or_default())?;
    app.rates.sign_in(client.0, Some(&email))?;
    let (user, code) = fitting(&app, &email, Purpose::ConfirmAddress, form.code).await?;
    match app.store.confirm_address(user, &code, app.clock.now()).await? {
        true => Ok(done("the address is confirmed")),
        false => Err(ApiError::InvalidCode),
    }
}

/// Sends a new code to an address that is not confirmed yet.
#[utoipa::path(post, path = "/resend-verification", tag = "sign-in", request_body = CodeRequest,
    responses((status = 200, body = Done), (status = 404, body = ErrorBody), Bodies, Common))]
pub async fn resend_verification(
    state: State<Shared>,
    client: Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>, ApiError> {
    request(state, client, headers, body, Purpose::ConfirmAddress).await?;
    Ok(done("if this address has an account that waits for it, a code was sent"))
}

/// Sends a code with which a forgotten password can be replaced.
#[utoipa::path(post, path = "/reset-password-request", tag = "sign-in", request_body = CodeRequest,
    responses((status = 200, body = Done), (status = 404, body = ErrorBody), Bodies, Common))]
pub async fn reset_password_request(
    state: State<Shared>,
    client: Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>, ApiError> {
    request(state, client, headers, body, Purpose::ResetPassword).await?;
    Ok(done("if this address has an account, a code was sent"))
}

/// Sets a new password by the code that was sent; every session ends, and the address is confirmed.
#[utoipa::path(post, path = "/reset-password", tag = "sign-in", request_body = PasswordReset,
    responses((status = 200, body = Done), (status = 404, body = ErrorBody), Bodies, Common))]
pub async fn reset_password(
    State(app): State<Shared>,
    Extension(client): Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Done>, ApiError> {
    let form: PasswordReset = app.bodies.json(client, &headers, body).await?;
    mailer(&app)?;
    let email = address::parse(&form.email.unwrap_or_default())?;
    let new = new_password("new_password", form.new_password)?;
    app.rates.sign_in(client.0, Some(&email))?;
    let (user, code) = fitting(&app, &email, Purpose::ResetPassword, form.code).await?;
    let hash = app.passwords.hash(new).await.map_err(ApiError::Internal)?;
    match app.store.reset_password(user, &code, hash, app.clock.now()).await? {
        true => Ok(done("the password is changed; sign in with it")),
        false => Err(ApiError::InvalidCode),
    }
}

async fn request(
    State(app): State<Shared>,
    Extension(client): Extension<ClientIp>,
    headers: HeaderMap,
    body: Body,
    purpose: Purpose,
) -> Result<(), ApiError> {
    let form: CodeRequest = app.bodies.json(client, &headers, body).await?;
    mailer(&app)?;
    let email = address::parse(&form.email.unwrap_or_default())?;
    app.rates.mail(client.0, &email)?;
    send_later(&app, email, purpose);
    Ok(())
}

fn mailer(app: &App) -> Result<&Mailer, ApiError> {
    app.mail.as_ref().ok_or(ApiError::NoMail)
}

/// Makes and sends a code after the request that asked for it, if the address has an account it is for.
pub fn send_later(app: &Arc<App>, email: String, purpose: Purpose) {
    let Some(mailer) = &app.mail else { return };
    let app = app.clone();
    mailer.later(async move {
        if let Err(error) = send(&app, &email, purpose).await {
            tracing::error!(error = format!("{error:#}"), "a code could not be made");
        }
    });
}

async fn send(app: &App, email: &str, purpose: Purpose) -> anyhow::Result<()> {
    let (Some(mailer), Some(known)) = (&app.mail, app.store.credentials(email).await?) else { return Ok(()) };
    if purpose == Purpose::ConfirmAddress && known.confirmed {
        return Ok(());
    }
    let code = new_code()?;
    let now = app.clock.now();
    let hash = app.passwords.hash(code.clone()).await?;
    let User { id: user, email } = known.user;
    app.store.put_code(Code { user, purpose, hash, now, expires_at: now + CODE_LIFE }).await?;
    let (subject, text) = message(purpose, &code);
    mailer.send(&email, subject, text).await;
    Ok(())
}

fn message(purpose: Purpose, code: &str) -> (&'static str, String) {
    let minutes = CODE_LIFE / clock::MINUTE;
    let (subject, what, ignore) = match purpose {
        Purpose::ConfirmAddress => (
            "Confirm your address for HeyHo",
            "confirms your e-mail address",
            "Somebody registered this address with HeyHo. If it was not you, ignore this message.",
        ),
        Purpose::ResetPassword => (
            "A new password for HeyHo",
            "lets you choose a new password",
            "If you did not ask for it, ignore this message: your password stays as it is.",
        ),
    };
    (subject, format!("This code {what}:\n\n    {code}\n\nIt works for {minutes} minutes, once.\n{ignore}\n"))
}

fn new_code() -> std::io::Result<String> {
    let number = u64::from_ne_bytes(clock::random_bytes()?) % 10_u64.pow(CODE_DIGITS as u32);
    Ok(format!("{number:0CODE_DIGITS$}"))
}

/// Whose code this is, if it fits. The attempt is counted whatever comes of it.
async fn fitting(
    app: &App,
    email: &str,
    purpose: Purpose,
    code: Option<String>,
) -> Result<(UserId, PasswordHash), ApiError> {
    // as people type it: with spaces
    let code: String = code.unwrap_or_default().split_whitespace().collect();
    let tried = app.store.try_code(email, purpose, app.clock.now()).await?;
    let hash = tried.as_ref().map(|tried| tried.hash.clone());
    let possible = code.len() == CODE_DIGITS;
    let fits = fits(&app.passwords, if possible { code } else { String::new() }, hash).await?;
    match tried {
        Some(tried) if fits => Ok((tried.user_id, tried.hash)),
        _ => Err(ApiError::InvalidCode),
    }
}

async fn fits(passwords: &Passwords, code: String, hash: Option<PasswordHash>) -> Result<bool, ApiError> {
    passwords.verify(code, hash).await.map_err(ApiError::Internal)
}
