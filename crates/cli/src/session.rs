//! `login`, also by the code of a confirming message, `logout`, `claim`.

use crate::Context;
use crate::args::Login;
use crate::link::Link;
use heyho_local::vocabulary::{Count, Fault, FaultCode, Login as LoginRequest, Request, SignedIn, ask};
use heyho_records::status::Status;
use heyho_records::words::{count, number};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

pub async fn login(context: &Context, login: Login) -> Result<ExitCode, Fault> {
    let password = password(login.password_stdin, login.register)?;
    let link = Link::join(context, false).await?;
    if let Some(code) = login.code {
        let (email, backend) = (login.email.clone(), login.backend.clone());
        let confirmed = link.companion.call(Request::Verify { email, code, backend }).await;
        if let Err(fault) = confirmed {
            link.end().await;
            return Err(fault);
        }
    }
    let request = LoginRequest {
        email: login.email.clone(),
        password,
        backend: login.backend,
        register: login.register,
        first_name: login.first_name,
        last_name: login.last_name,
        claim: Some(login.claim == "yes"),
        keep_password: None,
    };
    let signed_in = ask::<SignedIn>(link.companion.as_ref(), Request::Login(request)).await;
    let own_agent = link.is_agent();
    link.end().await;
    let signed_in = signed_in.map_err(|fault| match fault.code {
        FaultCode::Unverified => {
            let how = format!("With its code: heyho login --email {} --code CODE", login.email);
            Fault::new(fault.code, format!("{} {how}", fault.text))
        }
        _ => fault,
    })?;
    context.out.say(&signed_in, text)?;
    match &signed_in.note {
        // The agent was this command: what it held in memory only has gone with it.
        Some(note) if own_agent => Err(Fault::new(
            FaultCode::Configuration,
            format!(
                "the session could not be kept and has ended with this command. {note} Unlock or install a \
                 keyring, or: heyho config set tokens.store file; then sign in again"
            ),
        )),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn text(signed_in: &SignedIn) -> String {
    let account = &signed_in.account;
    let mut text = format!("Signed in as {} at {}.", account.email, account.backend);
    if signed_in.claimed > 0 {
        let became = if signed_in.claimed == 1 { "is" } else { "are" };
        text.push_str(&format!(
            " {} captured before {became} yours now.",
            count(signed_in.claimed, "record")
        ));
    }
    if signed_in.unclaimed > 0 {
        text.push_str(&format!(
            "\n{} captured while nobody was signed in: kept here and sent to nobody, unless you make them yours: heyho claim",
            count(signed_in.unclaimed, "record")
        ));
    }
    if let Some(note) = &signed_in.note {
        text.push_str(&format!("\n{note}"));
    }
    text
}

/// Never from the command line itself: other users can read that. A `new` one is asked for twice: a slip in it would
/// lock its owner out.
fn password(from_stdin: bool, new: bool) -> Result<String, Fault> {
    let unreadable =
        |e: std::io::Error| Fault::new(FaultCode::Usage, format!("the password cannot be read: {e}"));
    if !from_stdin && !std::io::stdin().is_terminal() {
        return Err(Fault::new(
            FaultCode::Usage,
            "standard input is no terminal; give the password there with --password-stdin",
        ));
    }
    let line = if from_stdin {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(unreadable)?;
        line
    } else {
        let line = unshown("Password: ").map_err(unreadable)?;
        if new && unshown("The same again: ").map_err(unreadable)? != line {
            return Err(Fault::new(FaultCode::Usage, "the two differ: no account was made"));
        }
        line
    };
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        return Err(Fault::new(FaultCode::Usage, "the password is empty"));
    }
    Ok(password)
}

/// One line of the terminal that is not shown. The question comes after echo is off: who types, or pastes, the moment
/// it stands there would see the first of it otherwise.
fn unshown(question: &str) -> std::io::Result<String> {
    #[cfg(unix)]
    {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let terminal = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &silent)?;
        let line = write!(&terminal, "{question}").and_then(|()| rpassword::read_password());
        tcsetattr(&terminal, OptionalActions::Now, &before)?;
        line
    }
    #[cfg(not(unix))]
    rpassword::prompt_password(question)
}

/// Who is signed in is looked at before: afterwards nobody is.
pub async fn logout(context: &Context) -> Result<ExitCode, Fault> {
    let link = Link::join(context, false).await?;
    let ended = async {
        let status = ask::<Status>(link.companion.as_ref(), Request::Status).await?;
        link.call(Request::Logout).await.map(|_| status)
    };
    let ended = ended.await;
    link.end().await;
    let status = ended?;
    let waiting = status.backlog.records();
    let others: u64 = status.other_accounts.iter().map(|other| other.failed).sum();
    let failed = status.failed.saturating_sub(others);
    let said = serde_json::json!({ "done": true, "waiting": waiting, "failed": failed });
    context.out.say(&said, |_| match &status.account {
        Some(account) => signed_out(&account.email, waiting, failed),
        None => "Nobody was signed in.".to_owned(),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn signed_out(email: &str, waiting: u64, failed: u64) -> String {
    let what = match (waiting, failed) {
        (0, 0) => return "Signed out. Nothing of that account is left here.".to_owned(),
        (n, 0) => format!("{} not sent yet", count(n, "record")),
        (0, n) => format!("{} that could not be delivered", count(n, "record")),
        (n, failed) => {
            format!("{} not sent yet and {} that could not be delivered", count(n, "record"), number(failed))
        }
    };
    format!(
        "Signed out. {what}: kept here until {email} signs in again. To take a copy along: heyho export FILE."
    )
}

pub async fn claim(context: &Context) -> Result<ExitCode, Fault> {
    let link = Link::join(context, false).await?;
    let claimed = ask::<Count>(link.companion.as_ref(), Request::Claim).await;
    link.end().await;
    context.out.say(&claimed?, |claimed| match claimed.count {
        0 => "There was nothing to claim.".to_owned(),
        n => format!("{} claimed: sent with the next sync.", count(n, "record")),
    })?;
    Ok(ExitCode::SUCCESS)
}
