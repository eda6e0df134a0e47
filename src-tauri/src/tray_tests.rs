use super::*;
use heyho_records::status::{Backlog, OtherAccount, Progress, Said};

const NOW: &str = "2026-11-21T14:30:00Z";
static UTC: TimeZone = TimeZone::UTC;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn status(state: State) -> Status {
    Status {
        state,
        reason: None,
        reason_code: None,
        reason_args: Default::default(),
        also: Vec::new(),
        metrics: None,
        short_session: false,
        numbers_unknown: false,
        backlog: Backlog::default(),
        failed: 0,
        failed_kept: 0,
        last_sync: None,
        last_confirmed_at: Some(at("2026-11-21T14:27:50Z")),
        next_attempt_at: Some(at("2026-11-21T14:35:00Z")),
        progress: None,
        account: None,
        agent_running: true,
        unclaimed: 0,
        other_accounts: Vec::new(),
        browsers: Vec::new(),
        paused_until: None,
    }
}

fn waiting(state: State) -> Status {
    let backlog = Backlog { page_visits: 1_000, tab_aggregates: 204, ..Backlog::default() };
    Status { backlog, ..status(state) }
}

fn of(lang: Lang, known: Known<'_>) -> View<'_> {
    View { lang, now: at(NOW), zone: &UTC, known }
}

fn view(status: &Status) -> Tray {
    of(Lang::En, Known::Status(status)).tray()
}

fn actions(tray: &Tray) -> Vec<Action> {
    tray.menu
        .iter()
        .filter_map(|item| match item {
            Item::Entry { action, enabled: true, .. } => Some(*action),
            _ => None,
        })
        .collect()
}

#[test]
fn each_state_has_its_icon_and_its_first_line() {
    let retrying = Status {
        reason: Some("the backend does not answer".to_owned()),
        next_attempt_at: Some(at("2026-11-21T14:30:38Z")),
        ..waiting(State::Retrying)
    };
    let sending = Status {
        progress: Some(Progress { done: 1_200, total: 48_310, eta_seconds: None }),
        ..status(State::Syncing)
    };
    let refused = Status { reason: Some("403 Forbidden".to_owned()), ..status(State::NeedsAttention) };
    let failed = Status { failed: 5, failed_kept: 2, ..waiting(State::NeedsAttention) };
    let one_failed = Status { failed: 1, ..status(State::NeedsAttention) };
    let paused = Status { paused_until: Some(at("2026-11-21T15:00:00Z")), ..waiting(State::Paused) };
    let long = Status { paused_until: Some(at("2026-11-22T06:00:00Z")), ..status(State::Paused) };
    let longer = Status { paused_until: Some(at("2026-11-30T06:00:00Z")), ..status(State::Paused) };
    let grace = |failed, failed_kept| OtherAccount {
        r#ref: "2".to_owned(),
        email: "grace@example.org".to_owned(),
        backend: "https://sync.example.org".to_owned(),
        waiting: 0,
        failed,
        failed_kept,
    };
    let of_others = |failed, other_accounts| Status { failed, other_accounts, ..one_failed.clone() };
    let also = vec![Said::new("on_battery", "")];
    let metered = Status { reason_code: Some("metered".to_owned()), ..waiting(State::Paused) };
    let full = Status { reason: Some("the disk is full".to_owned()), ..status(State::BufferProblem) };
    let table = [
        (status(State::UpToDate), Icon::Calm, "Up to date, confirmed 2 min ago"),
        (waiting(State::Waiting), Icon::Calm, "1,204 waiting, next sync at 14:35"),
        (status(State::Waiting), Icon::Calm, "Nothing waiting, not confirmed lately, next sync at 14:35"),
        (sending, Icon::Syncing, "Sending 1,200 of 48,310"),
        (status(State::Syncing), Icon::Syncing, "Checking with the backend"),
        (retrying, Icon::Retrying, "1,204 waiting, retry in 40 s: the backend does not answer"),
        (failed, Icon::Attention, "3 records need you, 1,204 waiting"),
        (one_failed.clone(), Icon::Attention, "1 record needs you"),
        (
            of_others(1, vec![grace(1, 0)]),
            Icon::Attention,
            "1 failed record of grace@example.org is still here",
        ),
        (of_others(3, vec![grace(2, 0)]), Icon::Attention, "1 record needs you"),
        (of_others(3, vec![grace(3, 3)]), Icon::Attention, "3 records need you"),
        (refused, Icon::Attention, "Sync needs your attention: 403 Forbidden"),
        (paused, Icon::Paused, "Paused until 15:00, 1,204 waiting"),
        (long, Icon::Paused, "Paused until Sun 06:00"),
        (longer, Icon::Paused, "Paused until 30 Nov 06:00"),
        (status(State::Paused), Icon::Paused, "Paused"),
        (metered, Icon::Paused, "Paused on a metered connection, 1,204 waiting"),
        (Status { also, ..status(State::Paused) }, Icon::Paused, "Paused on battery"),
        (status(State::SessionExpired), Icon::Attention, "Session expired. Sign in again"),
        (status(State::SignedOut), Icon::Calm, "Sign in to start"),
        (full, Icon::Attention, "The store on this computer has a problem: the disk is full"),
    ];
    for (status, icon, line) in table {
        let tray = view(&status);
        assert_eq!((tray.icon, tray.line.as_str()), (icon, line));
        assert_eq!(tray.menu.first(), Some(&Item::Line(line.to_owned())));
    }
}

#[test]
fn the_menu_offers_what_the_state_allows() {
    use Action::*;
    let offered = |state| actions(&view(&status(state)));
    for state in
        [State::UpToDate, State::Waiting, State::Retrying, State::NeedsAttention, State::BufferProblem]
    {
        assert_eq!(offered(state), [SyncNow, PauseHour, PauseTomorrow, Open, Quit]);
    }
    assert_eq!(offered(State::Syncing), [Stop, Open, Quit]);
    assert_eq!(offered(State::Paused), [Resume, Open, Quit]);
    // Nobody has paused: it can be sent all the same.
    let held = Status { reason_code: Some("metered".to_owned()), ..status(State::Paused) };
    assert_eq!(actions(&view(&held)), [SyncNow, PauseHour, PauseTomorrow, Open, Quit]);
    assert_eq!(offered(State::SignedOut), [Open, Quit]);
    assert_eq!(offered(State::SessionExpired), [Open, Quit]);
}

#[test]
fn without_an_agent_it_says_so_and_can_still_be_opened_and_ended() {
    let tray = of(Lang::En, Known::Gone).tray();
    assert_eq!((tray.icon, tray.line.as_str()), (Icon::Attention, "The companion is not answering"));
    assert_eq!(actions(&tray), [Action::Open, Action::Quit]);
}

#[test]
fn while_it_quits_it_says_what_it_waits_for() {
    let tray = of(Lang::En, Known::Quitting).tray();
    assert_eq!((tray.icon, tray.line.as_str()), (Icon::Calm, "Ending after the batch in flight"));
    assert_eq!(actions(&tray), []);
}

#[test]
fn before_the_first_status_it_claims_nothing() {
    let tray = of(Lang::En, Known::Starting).tray();
    assert_eq!((tray.icon, tray.line.as_str()), (Icon::Calm, "Starting"));
    assert_eq!(actions(&tray), [Action::Open, Action::Quit]);
}

#[test]
fn it_speaks_german() {
    let tray = of(Lang::De, Known::Status(&waiting(State::Waiting))).tray();
    assert_eq!(tray.line, "1.204 warten, nächster Abgleich um 14:35");
    let line = |status: &Status| of(Lang::De, Known::Status(status)).tray().line;
    let paused = Status { paused_until: Some(at("2026-11-23T06:00:00Z")), ..status(State::Paused) };
    assert_eq!(line(&paused), "Angehalten bis Mo 06:00");
    let later = Status { paused_until: Some(at("2026-11-30T06:00:00Z")), ..status(State::Paused) };
    assert_eq!(line(&later), "Angehalten bis 30.11. 06:00");
}

/// By its word: what the agent says in English is not mixed in.
#[test]
fn it_says_why_in_german_too() {
    let because = |state, code: &str, args: &[(&str, serde_json::Value)]| {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let said = Said { code: code.to_owned(), args, text: "in English".to_owned() };
        let mut status = Status { next_attempt_at: None, ..status(state) };
        status.say([said]);
        of(Lang::De, Known::Status(&status)).tray().line
    };
    let retrying = State::Retrying;
    assert!(
        because(retrying, "no_answer", &[("fault", "refused".into())])
            .starts_with("Der Server antwortet nicht")
    );
    assert!(because(retrying, "server_error", &[("status", 503.into())]).contains("(Status 503)"));
    let full = because(State::BufferProblem, "buffer_full", &[]);
    assert!(full.starts_with("Der Speicher auf diesem Rechner hat ein Problem: Der Speicher"), "{full}");
    let cause = because(State::BufferProblem, NO_START, &[("cause", "newer".into())]);
    assert!(cause.contains("neuere Version"), "{cause}");
    let moved = |args: &[(&str, serde_json::Value)]| because(State::NeedsAttention, "moved", args);
    assert!(
        moved(&[("origin", "https://new.example".into())]).contains("umgezogen nach https://new.example:")
    );
    assert!(!moved(&[]).contains("umgezogen"));
    // A word of a later agent has no sentence here.
    assert_eq!(because(State::NeedsAttention, "word_of_a_later_agent", &[]), "Der Abgleich braucht Sie");
}

/// Sending is what makes room in a full store, and what begins it is offered.
#[test]
fn beside_a_full_store_the_menu_offers_what_can_be_done() {
    use Action::*;
    let full = |code: &str| {
        let mut status = status(State::BufferProblem);
        status.say([Said::new("buffer_full", ""), Said::new(code, "")]);
        actions(&view(&status))
    };
    assert_eq!(full("signed_out"), [Open, Quit]);
    assert_eq!(full("session_expired"), [Open, Quit]);
    assert_eq!(full("paused"), [Resume, Open, Quit]);
}

#[test]
fn two_separators_never_touch_and_none_ends_the_menu() {
    for state in [State::UpToDate, State::Syncing, State::Paused, State::SignedOut] {
        let menu = view(&status(state)).menu;
        assert!(menu.windows(2).all(|w| w[0] != Item::Separator || w[1] != Item::Separator));
        assert_ne!(menu.last(), Some(&Item::Separator));
    }
}

#[test]
fn the_line_is_said_anew_only_where_it_counts() {
    let fresh = |status: &Status| of(Lang::En, Known::Status(status)).fresh_for();
    assert_eq!(fresh(&status(State::UpToDate)), Some(Duration::from_secs(60)));
    assert_eq!(fresh(&status(State::Retrying)), Some(Duration::from_secs(60)));
    let soon = Status { next_attempt_at: Some(at("2026-11-21T14:30:38Z")), ..status(State::Retrying) };
    assert_eq!(fresh(&soon), Some(Duration::from_secs(10)));
    assert_eq!(fresh(&status(State::Waiting)), None);
    assert_eq!(fresh(&status(State::SignedOut)), None);
}

#[test]
fn ids_of_menu_entries_come_back_as_actions() {
    assert!(Action::ALL.into_iter().all(|action| Action::of(action.id()) == Some(action)));
    assert_eq!(Action::of("line"), None);
}

#[test]
fn tomorrow_begins_at_six() {
    let within_a_second = at("2026-11-21T14:30:00.3Z");
    assert_eq!(until_tomorrow(within_a_second, &UTC), 15 * 3600 + 1800);
    let hours = |now: &str| until_tomorrow(at(now), &TimeZone::UTC) as f64 / 3600.0;
    assert_eq!(hours("2026-11-21T14:30:00Z"), 15.5);
    assert_eq!(hours("2026-11-21T00:00:00Z"), 30.0);
}
