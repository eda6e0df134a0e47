//! The driver against a scripted server on a real socket: what stands on the wire, and what every fault becomes.

use crate::server::{Act, Server, json, status};
use crate::tls;
use heyho_sync::answer::{Answer, Redirect, Reply, TlsProblem, TransportError};
use heyho_sync::auth_http::{Asked, AuthError, Registered, Registration};
use heyho_sync::base_url::BaseUrl;
use heyho_sync::driver::{Driver, DriverConfig, DriverError, ProxySetting, Timeouts};
use heyho_sync::secret::Secret;
use heyho_sync::why::{NotProof, Why};
use std::path::PathBuf;
use std::time::Duration;

fn config(base: &str) -> DriverConfig {
    DriverConfig {
        base_url: BaseUrl::parse(base, true).unwrap(),
        ca_file: None,
        proxy: ProxySetting::Off,
        device_id: "device-1".into(),
        user_agent: "heyho-companion/test".into(),
    }
}

fn driver(base: &str) -> Driver {
    let short = Duration::from_millis(300);
    let timeouts =
        Timeouts { connect: short, read: short, request: short * 4, small: short * 4, refresh: short * 4 };
    Driver::with_timeouts(&config(base), timeouts).unwrap()
}

/// For answers that must not run into a timeout on a busy machine.
fn patient(base: &str) -> Driver {
    Driver::new(&config(base)).unwrap()
}

fn token() -> Secret {
    Secret::new("token-1")
}

async fn sync(driver: &Driver) -> Reply {
    driver.sync(b"{\"batchId\":\"b\"}".to_vec(), "key-1", &token(), false).await
}

#[tokio::test]
async fn a_batch_goes_out_with_its_key_device_and_token_and_its_very_bytes() {
    let server = Server::start(vec![json(200, "{\"success\":true}"), json(200, "{}")]).await;
    let driver = patient(&format!("{}/prefix/api/v1", server.url));
    let body = br#"{"pageVisits":[{"n":2.4e21}]}"#.to_vec();
    let answer = driver.sync(body.clone(), "key-1", &token(), false).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"{\"success\":true}".as_slice()));
    assert_eq!(answer.content_type.as_deref(), Some("application/json"));
    let request = server.request(0);
    assert_eq!(request.line, "POST /prefix/api/v1/data/sync HTTP/1.1");
    for (name, value) in [
        ("authorization", "Bearer token-1"),
        ("idempotency-key", "key-1"),
        ("x-device-id", "device-1"),
        ("content-type", "application/json"),
        ("user-agent", "heyho-companion/test"),
    ] {
        assert_eq!(request.header(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!((request.header("content-encoding"), &request.body), (None, &body));

    driver.sync(body.clone(), "key-1", &token(), true).await.unwrap();
    let request = server.request(1);
    assert_eq!(request.header("content-encoding").as_deref(), Some("gzip"));
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(request.body.as_slice()), &mut plain)
        .unwrap();
    assert_eq!(plain, body);
}

#[tokio::test]
async fn capabilities_are_asked_without_a_token_and_a_check_finds_the_older_route() {
    let server = Server::start(vec![status(404), status(404), json(200, r#"{"data":{"id":1}}"#)]).await;
    let driver = patient(&server.url);
    assert_eq!(driver.capabilities().await.unwrap().status, 404);
    assert_eq!(server.request(0).line, "GET /api/v1/capabilities HTTP/1.1");
    assert_eq!(server.request(0).header("authorization"), None);
    assert_eq!(driver.check(&token()).await.unwrap().status, 200);
    assert_eq!(server.request(1).line, "GET /api/v1/auth/me HTTP/1.1");
    assert_eq!(server.request(2).line, "GET /api/v1/users/me HTTP/1.1");
    assert_eq!(server.request(2).header("authorization").as_deref(), Some("Bearer token-1"));
}

#[tokio::test]
async fn an_answer_that_is_cut_anywhere_is_no_answer() {
    let whole =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"success\":true}";
    for cut in 0..whole.len() {
        // The client may try once more by itself on a connection that closed without a byte.
        let server = Server::start(vec![Act::Raw(whole[..cut].into()), Act::Raw(whole[..cut].into())]).await;
        let reply = sync(&patient(&server.url)).await;
        assert_eq!(reply, Err(TransportError::ConnectionLost), "cut after {cut} bytes");
    }
    let server = Server::start(vec![Act::Raw(whole.into())]).await;
    assert_eq!(sync(&patient(&server.url)).await.unwrap().body, b"{\"success\":true}");
    // Chunks that end too early, and a gzip body that is cut.
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n";
    let server = Server::start(vec![Act::Raw(chunked.into())]).await;
    assert_eq!(sync(&patient(&server.url)).await, Err(TransportError::ConnectionLost));
    let gzip = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1f}\u{b}\u{8}\u{0}";
    let server = Server::start(vec![Act::Raw(gzip.into())]).await;
    assert_eq!(sync(&patient(&server.url)).await, Err(TransportError::ConnectionLost));
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for bytes in ["", "\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 abc\r\n\r\n", "\u{0}\u{1}\u{2}"] {
        let server = Server::start(vec![Act::Raw(bytes.into()), Act::Raw(bytes.into())]).await;
        assert_eq!(sync(&patient(&server.url)).await, Err(TransportError::ConnectionLost), "{bytes:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let server = Server::start(vec![Act::Endless]).await;
    assert_eq!(sync(&patient(&server.url)).await, Err(TransportError::BodyTooLarge));
}

#[tokio::test]
async fn silence_and_a_drip_end_by_a_timeout() {
    let server = Server::start(vec![Act::Silence]).await;
    assert_eq!(sync(&driver(&server.url)).await, Err(TransportError::AnswerTimeout));
    // A byte now and then keeps the connection alive, but not the exchange.
    let server = Server::start(vec![Act::Drip]).await;
    assert_eq!(sync(&driver(&server.url)).await, Err(TransportError::AnswerTimeout));
}

/// A slow line or a slow commit is within the time of a batch, not within that of a silence in the answer.
#[tokio::test]
async fn an_answer_that_begins_late_is_waited_for_and_one_that_stops_is_not() {
    let timeouts = Timeouts { read: Duration::from_millis(200), ..Timeouts::default() };
    let server = Server::start(vec![Act::Late(Duration::from_secs(1)), Act::Stops]).await;
    let driver = Driver::with_timeouts(&config(&server.url), timeouts).unwrap();
    assert_eq!(sync(&driver).await.unwrap().status, 200);
    assert_eq!(sync(&driver).await, Err(TransportError::AnswerTimeout));
}

#[tokio::test]
async fn nobody_there_is_said_plainly() {
    let server = Server::start(vec![]).await;
    let url = server.url.clone();
    server.stop().await;
    assert_eq!(sync(&patient(&url)).await, Err(TransportError::Refused));
    assert_eq!(sync(&patient("http://no-such-host.invalid")).await, Err(TransportError::Dns));
}

#[tokio::test]
async fn a_redirect_is_reported_and_no_token_follows_it() {
    let other = Server::start(vec![json(200, "{\"success\":true}")]).await;
    let to = |place: &str| {
        Act::Raw(format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"))
    };
    let places = [
        (format!("{}/login?next=1", other.url), Redirect::OtherOrigin(other.url.clone())),
        ("/login".to_owned(), Redirect::SameOrigin),
        (
            "https://user:pw@portal.example:8443/x".to_owned(),
            Redirect::OtherOrigin("https://portal.example:8443".into()),
        ),
        ("javascript:alert(1)".to_owned(), Redirect::Unreadable),
    ];
    for (place, expected) in places {
        let server = Server::start(vec![to(&place)]).await;
        let answer = sync(&patient(&server.url)).await.unwrap();
        assert_eq!((answer.status, answer.redirect), (307, Some(expected)), "{place}");
        assert_eq!(server.seen(), 1);
    }
    assert_eq!(other.seen(), 0);
}

#[tokio::test]
async fn retry_after_and_date_are_handed_on() {
    let raw = "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(vec![Act::Raw(raw.into())]).await;
    let answer = sync(&patient(&server.url)).await.unwrap();
    assert_eq!(answer.retry_after.as_deref(), Some("7"));
    assert!(answer.date.is_some());
}

#[tokio::test]
async fn tls_errors_are_said_in_plain_words() {
    let issuer = tls::Issuer::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), issuer.pem()).unwrap();
    let trusting = |url: &str| {
        Driver::new(&DriverConfig { ca_file: Some(file.path().to_owned()), ..config(url) }).unwrap()
    };
    for (host, from, until, expected) in [
        ("127.0.0.1", 2020, 2090, None),
        ("127.0.0.1", 2019, 2020, Some(TlsProblem::Expired)),
        ("127.0.0.1", 2089, 2090, Some(TlsProblem::NotYetValid)),
        ("elsewhere.example", 2020, 2090, Some(TlsProblem::WrongHost)),
    ] {
        let server = tls::serve(&issuer, host, from, until).await;
        let reply = sync(&trusting(&server.url)).await;
        match expected {
            None => assert_eq!(reply.unwrap().status, 200),
            Some(problem) => assert_eq!(reply, Err(TransportError::Tls { problem }), "{host} {from}"),
        }
    }
    // Without the file, nobody vouches for the issuer.
    let server = tls::serve(&issuer, "127.0.0.1", 2020, 2090).await;
    let problem = TlsProblem::UnknownIssuer;
    assert_eq!(sync(&patient(&server.url)).await, Err(TransportError::Tls { problem }));
    // https to a server that speaks http.
    let server = Server::start(vec![status(400)]).await;
    let reply = sync(&patient(&server.url.replace("http://", "https://"))).await;
    assert_eq!(reply, Err(TransportError::Tls { problem: TlsProblem::NotTls }));
}

#[test]
fn settings_that_cannot_work_are_named() {
    let missing =
        DriverConfig { ca_file: Some(PathBuf::from("/does/not/exist.pem")), ..config("https://x.example") };
    assert!(matches!(Driver::new(&missing), Err(DriverError::CaFileUnreadable { .. })));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "not a certificate").unwrap();
    let empty = DriverConfig { ca_file: Some(file.path().to_owned()), ..config("https://x.example") };
    assert!(matches!(Driver::new(&empty), Err(DriverError::CaFileEmpty { .. })));
    for proxy in ["", "socks9://me:geheim@x", "http://"] {
        let bad = DriverConfig { proxy: ProxySetting::Url(proxy.into()), ..config("https://x.example") };
        let error = Driver::new(&bad).unwrap_err().to_string();
        assert!(error.contains("backend.proxy") && !error.contains("geheim"), "{error}");
    }
    let bad = DriverConfig { device_id: "a\nb".into(), ..config("https://x.example") };
    assert!(matches!(Driver::new(&bad), Err(DriverError::DeviceId)));
}

#[tokio::test]
async fn a_proxy_that_is_named_is_used() {
    let proxy = Server::start(vec![json(200, "{}")]).await;
    let config =
        DriverConfig { proxy: ProxySetting::Url(proxy.url.clone()), ..config("http://backend.invalid") };
    sync(&Driver::new(&config).unwrap()).await.unwrap();
    assert_eq!(proxy.request(0).line, "POST http://backend.invalid/api/v1/data/sync HTTP/1.1");
}

// --- Sign-in ---

#[tokio::test]
async fn signing_in_reads_the_shapes_of_both_backends() {
    let ours = r#"{"success":true,"data":{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":900,"user":{"id":"u-1","email":"me@x"}}}"#;
    // {"sub":42}
    let theirs = r#"{"data":{"AccessToken":"h.eyJzdWIiOjQyfQ.s","RefreshToken":"r","ExpiresIn":3600,"TokenType":"Bearer"}}"#;
    let opaque = r#"{"data":{"AccessToken":"opaque","ExpiresIn":3600}}"#;
    let server = Server::start(vec![
        json(200, ours),
        json(200, theirs),
        json(200, opaque),
        status(404),
        json(200, r#"{"data":{"id":7,"email":"me@y"}}"#),
    ])
    .await;
    let driver = patient(&server.url);
    let password = Secret::new("pass word");
    let session = driver.login("me@x", &password).await.unwrap();
    assert_eq!((session.user.id.as_str(), session.user.email.as_deref()), ("u-1", Some("me@x")));
    assert_eq!(session.expires_in, Some(Duration::from_secs(900)));
    assert_eq!(session.refresh_token, Some(Secret::new("r")));
    let request = server.request(0);
    assert_eq!(request.line, "POST /api/v1/auth/login HTTP/1.1");
    assert_eq!(request.body, br#"{"email":"me@x","password":"pass word"}"#);
    let session = driver.login("me@x", &password).await.unwrap();
    assert_eq!((session.user.id.as_str(), session.user.email.as_deref()), ("42", Some("me@x")));
    let session = driver.login("me@x", &password).await.unwrap();
    assert_eq!((session.user.id.as_str(), session.user.email.as_deref()), ("7", Some("me@y")));
    assert_eq!(server.request(4).line, "GET /api/v1/users/me HTTP/1.1");
}

#[tokio::test]
async fn a_sign_in_that_fails_says_why() {
    for (code, body, expected) in [
        (401, r#"{"success":false,"code":"INVALID_CREDENTIALS","error":"x"}"#, AuthError::WrongCredentials),
        (401, r#"{"error":"no"}"#, AuthError::WrongCredentials),
        (401, "", AuthError::WrongCredentials),
        (409, r#"{"success":false,"code":"EMAIL_TAKEN","error":"x"}"#, AuthError::EmailTaken),
        (422, r#"{"field-error":["email","has already been taken"],"error":"x"}"#, AuthError::EmailTaken),
        (403, r#"{"error":"Email not verified"}"#, AuthError::Unverified),
        (403, r#"{"success":false,"code":"REGISTRATION_CLOSED","error":"x"}"#, AuthError::RegistrationClosed),
        (403, r#"{"code":"LOCKED","error":"locked"}"#, AuthError::Forbidden(Some("locked".into()))),
        (403, r#"{"error":"not from there"}"#, AuthError::Forbidden(Some("not from there".into()))),
        (403, "{}", AuthError::Forbidden(None)),
        (
            400,
            r#"{"success":false,"code":"VALIDATION_ERROR","error":"too short","field":"password"}"#,
            AuthError::Invalid { field: Some("password".into()), message: "too short".into() },
        ),
        (404, "", AuthError::NotNow(Why::NotFound, None)),
        (500, "{}", AuthError::NotNow(Why::ServerError { status: 500 }, None)),
        (429, "{}", AuthError::NotNow(Why::RateLimited, None)),
        (200, "<html>", AuthError::NotNow(Why::Portal, None)),
    ] {
        let server = Server::start(vec![json(code, body)]).await;
        let error = patient(&server.url).login("me@x", &Secret::new("p")).await.unwrap_err();
        assert_eq!(error, expected, "{code} {body}");
        assert!(!error.to_string().is_empty());
    }
}

#[tokio::test]
async fn registering_falls_back_to_the_older_route() {
    let password = Secret::new("p");
    let both =
        Registration { email: "me@x", password: &password, first_name: Some("A"), last_name: Some("B") };
    let none = Registration { first_name: None, last_name: None, ..both.clone() };
    let ours = r#"{"data":{"access_token":"a","refresh_token":"r","expires_in":9,"user":{"id":"1","email":"me@x"}}}"#;
    let server = Server::start(vec![json(201, ours)]).await;
    let registered = patient(&server.url).register(&none).await.unwrap();
    assert!(matches!(registered, Registered::SignedIn(session) if session.user.id == "1"));

    // The reference backend, where it sends e-mail.
    let made = r#"{"success":true,"data":{"user":{"id":"1","email":"a@b"},"verification_required":true}}"#;
    let server = Server::start(vec![json(201, made)]).await;
    assert_eq!(patient(&server.url).register(&none).await.unwrap(), Registered::VerifyFirst);

    let server = Server::start(vec![status(404), json(201, r#"{"message":"verify"}"#), status(404)]).await;
    let driver = patient(&server.url);
    assert_eq!(driver.register(&both).await.unwrap(), Registered::VerifyFirst);
    assert_eq!(server.request(1).line, "POST /api/v1/auth/create-account HTTP/1.1");
    assert_eq!(driver.register(&none).await.unwrap_err(), AuthError::NamesNeeded);
}

#[tokio::test]
async fn refreshing_gives_new_tokens_or_ends_the_session_or_waits() {
    let tokens = r#"{"data":{"access_token":"a2","refresh_token":"r2","expires_in":900}}"#;
    let server = Server::start(vec![json(200, tokens)]).await;
    let tokens = patient(&server.url).refresh(&Secret::new("r1"), Asked::Early).await.unwrap();
    assert_eq!(tokens.refresh_token, Some(Secret::new("r2")));
    assert_eq!(server.request(0).body, br#"{"refresh_token":"r1"}"#);
    for (code, over) in [(401, true), (404, true), (400, true), (500, false), (429, false), (302, false)] {
        let server = Server::start(vec![json(code, r#"{"success":false,"error":"no"}"#)]).await;
        let error = patient(&server.url).refresh(&Secret::new("r1"), Asked::Early).await.unwrap_err();
        let is_over = matches!(error, AuthError::SessionOver | AuthError::NotRenewable);
        assert_eq!(is_over, over, "{code}: {error:?}");
        assert_eq!(error == AuthError::NotRenewable, code == 404);
    }
}

#[tokio::test]
async fn an_address_is_confirmed_and_a_password_set_anew_by_code() {
    let acts = vec![json(200, "{}"), json(200, "{}"), json(204, ""), json(200, "{}")];
    let server = Server::start(acts).await;
    let (driver, code) = (patient(&server.url), Secret::new("123456"));
    driver.verify_email("a@b", &code).await.unwrap();
    driver.resend_verification("a@b").await.unwrap();
    driver.request_password_reset("a@b").await.unwrap();
    driver.reset_password("a@b", &code, &Secret::new("new one")).await.unwrap();
    for (index, route, body) in [
        (0, "verify-email", r#"{"code":"123456","email":"a@b"}"#),
        (1, "resend-verification", r#"{"email":"a@b"}"#),
        (2, "reset-password-request", r#"{"email":"a@b"}"#),
        (3, "reset-password", r#"{"code":"123456","email":"a@b","new_password":"new one"}"#),
    ] {
        let request = server.request(index);
        assert_eq!(request.line, format!("POST /api/v1/{route} HTTP/1.1"));
        assert_eq!(request.body, body.as_bytes());
    }
    let weak = r#"{"code":"VALIDATION_ERROR","error":"too short","field":"new_password"}"#;
    for (status, body, expected) in [
        (400, r#"{"code":"INVALID_CODE","error":"no"}"#, AuthError::WrongCode),
        (401, "{}", AuthError::WrongCode),
        (422, r#"{"error":"expired"}"#, AuthError::WrongCode),
        (404, "", AuthError::NotHere),
        (404, r#"{"code":"NO_MAIL","error":"no e-mail here"}"#, AuthError::NoMail),
        (400, weak, AuthError::Invalid { field: Some("new_password".into()), message: "too short".into() }),
    ] {
        let server = Server::start(vec![json(status, body)]).await;
        let driver = patient(&server.url);
        let error = driver.reset_password("a@b", &code, &Secret::new("x")).await.unwrap_err();
        assert_eq!(error, expected, "{status}");
    }
    let no_mail = json(404, r#"{"success":false,"code":"NO_MAIL","error":"no e-mail here"}"#);
    let server = Server::start(vec![no_mail]).await;
    let error = patient(&server.url).request_password_reset("a@b").await.unwrap_err();
    assert_eq!(error, AuthError::NoMail);
    let server = Server::start(vec![json(500, "{}")]).await;
    let error = patient(&server.url).verify_email("a@b", &code).await.unwrap_err();
    assert!(matches!(error, AuthError::NotNow(..)), "{error:?}");
}

#[tokio::test]
async fn signing_out_twice_is_signing_out() {
    for code in [204, 200, 401, 404] {
        let server = Server::start(vec![json(code, "")]).await;
        patient(&server.url).logout(&token(), Some(&Secret::new("r"))).await.unwrap();
        assert_eq!(server.request(0).line, "POST /api/v1/auth/logout HTTP/1.1");
    }
}

#[test]
fn an_answer_is_shown_without_its_body() {
    let answer = Answer { status: 200, body: b"secret".to_vec(), ..Answer::default() };
    assert!(!format!("{answer:?}").contains("115") && format!("{answer:?}").contains("body_bytes: 6"));
}

#[tokio::test]
async fn only_the_backend_itself_ends_a_session() {
    let html = "<html><h1>Sign in to the network</h1>";
    let portal = AuthError::NotNow(Why::Portal, None);
    for (code, body, expected) in [
        (400, html, portal.clone()),
        (401, html, portal.clone()),
        (403, html, portal.clone()),
        (404, html, portal.clone()),
        (422, html, portal),
        (401, "", AuthError::NotNow(Why::NotProof { answer: NotProof::Empty }, None)),
        (403, "blocked", AuthError::NotNow(Why::NotProof { answer: NotProof::NotJson }, None)),
        (401, "{}", AuthError::NotNow(Why::NotProof { answer: NotProof::NotAnObject }, None)),
        (401, r#"{"success":false,"code":"UNAUTHORIZED","error":"spent"}"#, AuthError::SessionOver),
        (401, r#"{"success":false,"message":"Unauthorized"}"#, AuthError::SessionOver),
        (422, r#"{"error":"no"}"#, AuthError::SessionOver),
        (404, "", AuthError::NotRenewable),
        (404, r#"{"status":404,"error":"Not Found"}"#, AuthError::NotRenewable),
        (429, r#"{"retry_after":90}"#, AuthError::NotNow(Why::RateLimited, Some(Duration::from_secs(90)))),
    ] {
        let server = Server::start(vec![json(code, body)]).await;
        let error = patient(&server.url).refresh(&Secret::new("r"), Asked::Early).await.unwrap_err();
        assert_eq!(error, expected, "{code} {body}");
    }
}

/// Express, Go, nginx answer a route they do not have in words of their own. Once the backend has said itself that the
/// token is over, that is no network in between.
#[tokio::test]
async fn a_program_without_a_route_to_renew_says_so_in_any_words() {
    for (code, body) in [
        (404, "<!DOCTYPE html><pre>Cannot POST /api/v1/auth/refresh</pre>"),
        (404, "404 page not found"),
        (404, ""),
        (405, "<html><h1>405 Not Allowed</h1>"),
        (404, r#"{"detail":"Not Found"}"#),
    ] {
        for (asked, over) in [(Asked::Refused, true), (Asked::Early, code == 404 && !body.contains("ot "))] {
            let server = Server::start(vec![json(code, body)]).await;
            let error = patient(&server.url).refresh(&Secret::new("r"), asked).await.unwrap_err();
            assert_eq!(
                error == AuthError::NotRenewable,
                over || body.starts_with('{'),
                "{code} {body}: {error:?}"
            );
        }
    }
    for code in [401, 403, 500] {
        let server = Server::start(vec![json(code, "<html>Sign in to the network</html>")]).await;
        let error = patient(&server.url).refresh(&Secret::new("r"), Asked::Refused).await.unwrap_err();
        assert!(matches!(error, AuthError::NotNow(..)), "{code}: {error:?}");
    }
}
