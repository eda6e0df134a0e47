//! Confirming an e-mail address by a code, and a forgotten password: the routes of HeyHo's service, which the
//! reference backend serves too.
//!
//! Asking for a message is answered alike whether the address is known or not, so a success says only that it
//! was asked.

use crate::answer::Reply;
use crate::auth_http::{AuthError, accepted, is_missing};
use crate::driver::Driver;
use crate::secret::Secret;
use serde_json::{Value, json};

const VERIFY: &str = "/api/v1/verify-email";
const RESEND: &str = "/api/v1/resend-verification";
const RESET_REQUEST: &str = "/api/v1/reset-password-request";
const RESET: &str = "/api/v1/reset-password";

impl Driver {
    pub async fn verify_email(&self, email: &str, code: &Secret) -> Result<(), AuthError> {
        let reply = self.post(VERIFY, &json!({"email": email, "code": code.reveal()}), None).await;
        by_code(reply)
    }

    pub async fn resend_verification(&self, email: &str) -> Result<(), AuthError> {
        self.asked(RESEND, &json!({"email": email})).await
    }

    pub async fn request_password_reset(&self, email: &str) -> Result<(), AuthError> {
        self.asked(RESET_REQUEST, &json!({"email": email})).await
    }

    pub async fn reset_password(
        &self,
        email: &str,
        code: &Secret,
        password: &Secret,
    ) -> Result<(), AuthError> {
        let body = json!({"email": email, "code": code.reveal(), "new_password": password.reveal()});
        by_code(self.post(RESET, &body, None).await)
    }

    async fn asked(&self, route: &'static str, body: &Value) -> Result<(), AuthError> {
        let reply = self.post(route, body, None).await;
        if is_missing(&reply) {
            return Err(not_here(reply));
        }
        match accepted(reply) {
            Ok(_) => Ok(()),
            // Some say that nobody has this address. Nobody else is told.
            Err(AuthError::WrongCredentials) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Why it is not done here, where the backend says so.
fn not_here(reply: Reply) -> AuthError {
    match accepted(reply) {
        Err(AuthError::NoMail) => AuthError::NoMail,
        _ => AuthError::NotHere,
    }
}

/// A refusal here is about the code, whatever its own word for that, but for a password that is called too weak.
fn by_code(reply: Reply) -> Result<(), AuthError> {
    if is_missing(&reply) {
        return Err(not_here(reply));
    }
    let refused = reply.as_ref().is_ok_and(|answer| matches!(answer.status, 400 | 401 | 403 | 410 | 422));
    match accepted(reply) {
        Ok(_) => Ok(()),
        Err(AuthError::Invalid { field, message })
            if field.as_deref().is_some_and(|it| it.ends_with("password")) =>
        {
            Err(AuthError::Invalid { field, message })
        }
        Err(_) if refused => Err(AuthError::WrongCode),
        Err(error) => Err(error),
    }
}
