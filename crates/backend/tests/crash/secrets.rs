//! What the log never holds, at its most talkative.

use crate::smtp::Smtp;
use std::process::{Command, Stdio};

const SECRET: &str = "a signing secret that nobody may see";
const PASSWORD: &str = "correct horse battery";
const SMTP_PASSWORD: &str = "a password for sending";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_holds_no_secret_and_nothing_personal() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let url = format!("sqlite://{}", folder.path().join("data/heyho.db").display());
    // mail over TLS, by a server whose certificate is trusted only because of a setting
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let certificate = folder.path().join("cert.pem");
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    let (cert, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    let tls = axum_server::tls_rustls::RustlsConfig::from_pem(cert, key).await.unwrap();
    let mut smtp = Smtp::start(Some(tls), 0).await;
    let smtp_url =
        format!("smtps://sender:{}@localhost:{}", SMTP_PASSWORD.replace(' ', "%20"), smtp.address.port());
    let mut child = Command::new(env!("CARGO_BIN_EXE_heyho-backend"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("HEYHO_DATABASE_URL", &url)
        .env("HEYHO_JWT_SECRET", SECRET)
        .env("HEYHO_LOG", "trace")
        .env("HEYHO_SMTP_URL", smtp_url)
        .env("HEYHO_MAIL_FROM", "HeyHo <hey@sender.example>")
        .env("SSL_CERT_FILE", &certificate)
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let base = line.trim().strip_prefix("listening on ").unwrap().to_owned();

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |path: &str, token: &str, body: String| {
        let request = http.post(format!("{base}{path}")).bearer_auth(token).body(body);
        request.send().await.unwrap().text().await.unwrap()
    };
    let who = format!(r#"{{"email":"ada@private.example","password":"{PASSWORD}"}}"#);
    post("/api/v1/auth/register", "", who.clone()).await;
    let code = smtp.next().await.code();
    post("/api/v1/verify-email", "", format!(r#"{{"email":"ada@private.example","code":"{code}"}}"#)).await;
    post("/api/v1/auth/login", "", who.replace("horse", "house")).await;
    let answer: serde_json::Value = serde_json::from_str(&post("/api/v1/auth/login", "", who).await).unwrap();
    let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
    let (access, refresh) = (text("access_token"), text("refresh_token"));
    let visit = r#"{"id":"v","url":"https://visited.example/page","title":"a private title","visited_at":1}"#;
    post("/api/v1/data/sync", &access, format!(r#"{{"pageVisits":[{visit}]}}"#)).await;
    post(
        "/api/v1/data/sync",
        &access,
        format!(r#"{{"pageVisits":[{visit},{{"url":"https://visited.example/"}}]}}"#),
    )
    .await;
    post("/api/v1/auth/refresh", "", format!(r#"{{"refresh_token":"{refresh}"}}"#)).await;
    let request =
        http.delete(format!("{base}/api/v1/browsing_data?domain=visited.example")).bearer_auth(&access);
    assert_eq!(request.send().await.unwrap().status(), 200);
    // planted: what a request may put into the log shows that the search finds things
    let request = http.get(format!("{base}/health")).header("x-request-id", "planted-canary");
    request.send().await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(smtp.is_empty(), "one message was asked for");

    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("planted-canary"), "the search would find nothing");
    for private in [
        SECRET,
        PASSWORD,
        SMTP_PASSWORD,
        "a%20password",
        &code,
        "correct house",
        &access,
        &refresh,
        "private.example",
        "visited.example",
        "a private title",
        "argon2id",
    ] {
        let found = log.lines().find(|line| line.contains(private));
        assert!(found.is_none(), "{found:?}");
    }
    // and the database's files hold neither password nor token in the clear
    for file in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [PASSWORD, &access, &refresh, SECRET, &code, SMTP_PASSWORD] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()));
        }
    }
}
