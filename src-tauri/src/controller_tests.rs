use super::*;
use crate::tray::tests::status;
use crate::words::Lang;
use heyho_agent::NO_START;
use heyho_local::clock::SystemClock;
use heyho_local::config::Appearance;
use heyho_local::vocabulary::{Answering, Event as Push, FaultCode};
use heyho_records::alert::Alert;
use heyho_records::status::State;
use serde_json::Value;
use std::sync::Mutex;
use tokio::sync::oneshot;

/// What the desktop was told.
#[derive(Debug, PartialEq)]
enum Told {
    Open,
    Tray(String),
    Window(Option<State>),
    Gone,
    Ending(After),
    Asked(String),
    Dressed(Look),
    Settings,
    Noticed(String),
}

struct Recording(mpsc::UnboundedSender<Told>);

impl Shell for Recording {
    fn open_window(&self) {
        self.0.send(Told::Open).unwrap();
    }
    fn show_tray(&self, tray: &Tray) {
        self.0.send(Told::Tray(tray.line.clone())).unwrap();
    }
    fn tell_window(&self, status: Option<&Status>) {
        self.0.send(Told::Window(status.map(|s| s.state))).unwrap();
    }
    fn tell_gone(&self) {
        self.0.send(Told::Gone).unwrap();
    }
    fn tell_settings(&self) {
        self.0.send(Told::Settings).unwrap();
    }
    fn tell_ending(&self, after: After) {
        self.0.send(Told::Ending(after)).unwrap();
    }
    fn dress(&self, look: &Look) {
        self.0.send(Told::Dressed(*look)).unwrap();
    }
    fn notify(&self, notice: Notification) {
        self.0.send(Told::Noticed(notice.title)).unwrap();
    }
}

/// What the agent says: whether notifications are wanted, and what stands.
type Says = Arc<Mutex<(bool, Vec<Notice>)>>;

impl Told {
    fn asks(&self, word: &str) -> bool {
        *self == Told::Asked(format!(r#"{{"cmd":"{word}"}}"#))
    }
}

/// Notes each request on the same record; refuses a sync.
struct Scripted(mpsc::UnboundedSender<Told>, watch::Receiver<Option<Status>>, broadcast::Sender<Push>, Says);

impl Companion for Scripted {
    fn call(&self, request: Request) -> Answering<'_> {
        self.0.send(Told::Asked(serde_json::to_string(&request).unwrap())).unwrap();
        Box::pin(async move {
            match request {
                Request::ConfigGet => {
                    let notifications = self.3.lock().unwrap().0;
                    let text = format!(
                        "[window]\nlanguage = 'de'\nappearance = 'dark'\nnotifications = {notifications}"
                    );
                    let dir = tempfile::tempdir().unwrap();
                    let file = dir.path().join("config.toml");
                    std::fs::write(&file, text).unwrap();
                    Ok(serde_json::to_value(config::settings(&file)).unwrap())
                }
                Request::Alerts => Ok(serde_json::to_value(self.3.lock().unwrap().1.clone()).unwrap()),
                Request::Sync { .. } => Err(Fault::new(FaultCode::TryLater, "the backend asked to wait")),
                _ => Ok(Value::Null),
            }
        })
    }
    fn watch(&self) -> watch::Receiver<Option<Status>> {
        self.1.clone()
    }
    fn events(&self) -> Option<broadcast::Receiver<Push>> {
        Some(self.2.subscribe())
    }
}

struct Bench {
    events: mpsc::Sender<Event>,
    statuses: Option<watch::Sender<Option<Status>>>,
    told: mpsc::UnboundedReceiver<Told>,
    running: tokio::task::JoinHandle<After>,
    /// The agent has ended, once this is sent.
    ended: Option<oneshot::Sender<()>>,
    pushes: broadcast::Sender<Push>,
    says: Says,
    memory: Memory,
    _state: tempfile::TempDir,
}

const LOOK: Look = Look { lang: Some(Lang::En), appearance: Appearance::System, notifications: true };

impl Bench {
    fn new(first: Option<Status>) -> Bench {
        let (record, told) = mpsc::unbounded_channel();
        let (statuses, watched) = watch::channel(first);
        let (events, heard) = mpsc::channel(8);
        let pushes = broadcast::Sender::new(8);
        let state = tempfile::tempdir().unwrap();
        let (says, memory) = (Says::default(), Memory::read(state.path()));
        let controller = Controller {
            shell: Recording(record.clone()),
            companion: Agent(Arc::new(Scripted(record, watched, pushes.clone(), says.clone()))),
            pushes: Some(pushes.subscribe()),
            clock: Arc::new(SystemClock),
            look: LOOK,
            memory: memory.clone(),
            zone: TimeZone::UTC,
        };
        let (ended, end) = oneshot::channel();
        let running = tokio::spawn(controller.run(heard, || async { end.await.unwrap() }));
        let (statuses, ended) = (Some(statuses), Some(ended));
        Bench { events, statuses, told, running, ended, pushes, says, memory, _state: state }
    }

    async fn told(&mut self) -> Told {
        tokio::time::timeout(Duration::from_secs(10), self.told.recv())
            .await
            .expect("nothing was told")
            .unwrap()
    }

    /// Lets the agent end; what comes after.
    async fn ends(mut self) -> After {
        self.ended.take().unwrap().send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.running).await.expect("it goes on").unwrap()
    }

    async fn tell(&mut self, event: Event) {
        self.events.send(event).await.unwrap();
    }
}

fn line(text: &str) -> Told {
    Told::Tray(text.to_owned())
}

#[tokio::test]
async fn a_status_goes_to_the_window_and_to_the_tray() {
    let mut bench = Bench::new(Some(status(State::SignedOut)));
    assert_eq!(bench.told().await, Told::Window(Some(State::SignedOut)));
    assert_eq!(bench.told().await, line("Sign in to start"));
    bench.statuses.as_ref().unwrap().send(Some(status(State::Syncing))).unwrap();
    assert_eq!(bench.told().await, Told::Window(Some(State::Syncing)));
    assert_eq!(bench.told().await, line("Checking with the backend"));
}

#[tokio::test]
async fn when_the_agent_is_gone_both_say_so() {
    let mut bench = Bench::new(Some(status(State::SignedOut)));
    bench.told().await;
    bench.told().await;
    drop(bench.statuses.take());
    assert_eq!(bench.told().await, Told::Gone);
    assert_eq!(bench.told().await, line("The companion is not answering"));
    bench.tell(Event::Open).await;
    assert_eq!(bench.told().await, Told::Open);
}

/// A store that is mended, or another agent that has ended: nobody has to start anything.
#[tokio::test]
async fn while_the_agent_takes_its_place_again_it_is_starting_and_not_gone() {
    let mut bench = Bench::new(Some(status(State::SignedOut)));
    bench.told().await;
    bench.told().await;
    bench.statuses.as_ref().unwrap().send(None).unwrap();
    assert_eq!(bench.told().await, Told::Window(None));
    assert_eq!(bench.told().await, line("Starting"));
    bench.statuses.as_ref().unwrap().send(Some(status(State::SignedOut))).unwrap();
    assert_eq!(bench.told().await, Told::Window(Some(State::SignedOut)));
    assert_eq!(bench.told().await, line("Sign in to start"));
}

/// Also where it was started into the tray: nobody would know.
#[tokio::test]
async fn a_start_that_does_not_work_opens_the_window_once() {
    let prevented = || {
        let (reason, reason_code) = (Some("a newer schema".to_owned()), Some(NO_START.to_owned()));
        Some(Status { reason, reason_code, ..Status::broken("a newer schema", false) })
    };
    let mut bench = Bench::new(None);
    assert_eq!(bench.told().await, Told::Window(None));
    assert_eq!(bench.told().await, line("Starting"));
    bench.statuses.as_ref().unwrap().send(prevented()).unwrap();
    assert_eq!(bench.told().await, Told::Window(Some(State::BufferProblem)));
    assert_eq!(bench.told().await, Told::Open);
    assert_eq!(bench.told().await, line("The companion cannot start: a newer schema"));
    // It is tried again, and does not work again.
    bench.statuses.as_ref().unwrap().send(prevented()).unwrap();
    assert_eq!(bench.told().await, Told::Window(Some(State::BufferProblem)));
    bench.statuses.as_ref().unwrap().send(Some(status(State::SignedOut))).unwrap();
    assert_eq!(bench.told().await, Told::Window(Some(State::SignedOut)));
    assert_eq!(bench.told().await, line("Sign in to start"));
}

#[tokio::test]
async fn menu_entries_become_requests_and_a_refusal_opens_the_window() {
    let mut bench = Bench::new(None);
    bench.told().await;
    bench.told().await;
    bench.tell(Event::Menu(Action::PauseHour)).await;
    assert_eq!(bench.told().await, Told::Asked(r#"{"cmd":"pause","seconds":3600}"#.to_owned()));
    bench.tell(Event::Menu(Action::Resume)).await;
    assert_eq!(bench.told().await, Told::Asked(r#"{"cmd":"resume"}"#.to_owned()));
    bench.tell(Event::Menu(Action::Stop)).await;
    assert_eq!(bench.told().await, Told::Asked(r#"{"cmd":"stop"}"#.to_owned()));
    bench.tell(Event::Menu(Action::SyncNow)).await;
    assert_eq!(bench.told().await, Told::Asked(r#"{"cmd":"sync","wait":false}"#.to_owned()));
    assert_eq!(bench.told().await, Told::Open);
}

#[tokio::test]
async fn quit_ends_it_and_the_tray_says_what_is_waited_for() {
    for quit in [Event::Quit, Event::Menu(Action::Quit)] {
        let mut bench = Bench::new(None);
        bench.told().await;
        bench.told().await;
        bench.tell(quit).await;
        assert_eq!(bench.told().await, line("Ending after the batch in flight"));
        assert_eq!(bench.told().await, Told::Ending(After::Nothing));
        assert_eq!(bench.ends().await, After::Nothing);
    }
}

#[tokio::test]
async fn a_start_while_it_is_ending_is_not_lost_and_a_later_quit_takes_it_back() {
    let mut bench = Bench::new(None);
    bench.told().await;
    bench.told().await;
    bench.tell(Event::Quit).await;
    assert_eq!(bench.told().await, line("Ending after the batch in flight"));
    assert_eq!(bench.told().await, Told::Ending(After::Nothing));
    bench.tell(Event::Open).await;
    assert_eq!(bench.told().await, line("Starting again after the batch in flight"));
    assert_eq!(bench.told().await, Told::Ending(After::Again));
    bench.tell(Event::Quit).await;
    assert_eq!(bench.told().await, line("Ending after the batch in flight"));
    assert_eq!(bench.told().await, Told::Ending(After::Nothing));
    bench.tell(Event::Open).await;
    assert_eq!(bench.told().await, line("Starting again after the batch in flight"));
    assert_eq!(bench.told().await, Told::Ending(After::Again));
    assert_eq!(bench.ends().await, After::Again);
}

#[tokio::test]
async fn that_the_app_goes_on_in_the_tray_is_said_once() {
    let mut bench = Bench::new(None);
    bench.told().await;
    bench.told().await;
    bench.tell(Event::Closed).await;
    assert_eq!(bench.told().await, Told::Noticed("HeyHo Companion goes on in the tray".to_owned()));
    bench.tell(Event::Closed).await;
    bench.tell(Event::Open).await;
    assert_eq!(bench.told().await, Told::Open);
}

/// Whoever changed it: the window, or `heyho config set`.
#[tokio::test]
async fn another_language_is_spoken_at_once_and_without_notifications_nothing_is_said() {
    let mut bench = Bench::new(Some(status(State::SignedOut)));
    bench.told().await;
    bench.told().await;
    bench.pushes.send(Push::Settings).unwrap();
    assert_eq!(bench.told().await, Told::Settings);
    let asked = [bench.told().await, bench.told().await];
    for word in ["config.get", "alerts"] {
        assert!(asked.iter().any(|told| told.asks(word)), "{asked:?}");
    }
    let look = Look { lang: Some(Lang::De), appearance: Appearance::Dark, notifications: false };
    assert_eq!(bench.told().await, Told::Dressed(look));
    assert_eq!(bench.told().await, line("Zum Starten anmelden"));
    bench.tell(Event::Closed).await;
    bench.tell(Event::Open).await;
    assert_eq!(bench.told().await, Told::Open);
}

#[tokio::test]
async fn an_alert_is_a_notification_and_its_end_is_none() {
    let mut bench = Bench::new(None);
    bench.told().await;
    bench.told().await;
    bench.pushes.send(alert(Alert::FailedRecords, false)).unwrap();
    bench.pushes.send(alert(Alert::FailedRecords, true)).unwrap();
    assert_eq!(bench.told().await, Told::Noticed("HeyHo Companion needs you".to_owned()));
    bench.tell(Event::Open).await;
    assert_eq!(bench.told().await, Told::Open);
}

/// Which alerts reach the user, by sending all of them and then one that is known to.
#[tokio::test]
async fn only_what_somebody_must_act_on_is_a_notification() {
    let mut bench = Bench::new(None);
    bench.told().await;
    bench.told().await;
    for code in [Alert::FailureRate, Alert::Backlog] {
        bench.pushes.send(alert(code, true)).unwrap();
    }
    let acts = [Alert::SessionExpired, Alert::FailedRecords, Alert::BacklogDay, Alert::DiskFull];
    for code in acts {
        bench.pushes.send(alert(code, true)).unwrap();
    }
    for _ in acts {
        assert_eq!(bench.told().await, Told::Noticed("HeyHo Companion needs you".to_owned()));
    }
    // Nothing is left over: the next that is told is what is asked for next.
    bench.tell(Event::Open).await;
    assert_eq!(bench.told().await, Told::Open);
}

/// A window beside an agent that was there before it, or that has said more than could be heard.
#[tokio::test]
async fn what_stood_before_anybody_listened_is_notified_once_until_it_has_ended() {
    let mut bench = Bench::new(None);
    bench.told().await;
    bench.told().await;
    let mut noticed = 0_usize;
    for stands in [true, true, false, true] {
        let standing = stands.then(|| notice(Alert::SessionExpired, true)).into_iter().collect();
        *bench.says.lock().unwrap() = (true, standing);
        bench.pushes.send(Push::Settings).unwrap();
        // Its answer is taken when it is remembered.
        loop {
            let told = bench.told().await;
            noticed += usize::from(matches!(told, Told::Noticed(_)));
            if told.asks("alerts") {
                break;
            }
        }
        let memory = bench.memory.clone();
        let taken = async {
            while memory.was_told(Alert::SessionExpired) != stands {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), taken).await.unwrap();
    }
    bench.tell(Event::Open).await;
    loop {
        match bench.told().await {
            Told::Noticed(_) => noticed += 1_usize,
            Told::Open => break,
            _ => {}
        }
    }
    assert_eq!(noticed, 2);
}

#[tokio::test]
async fn what_was_told_is_not_told_again_before_it_has_ended() {
    let mut bench = Bench::new(None);
    bench.told().await;
    bench.told().await;
    for raised in [true, true, false, true] {
        bench.pushes.send(alert(Alert::DiskFull, raised)).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(bench.told().await, Told::Noticed("HeyHo Companion needs you".to_owned()));
    }
    bench.tell(Event::Open).await;
    assert_eq!(bench.told().await, Told::Open);
    assert!(bench.memory.was_told(Alert::DiskFull));
}

fn notice(code: Alert, raised: bool) -> Notice {
    let args = [("failed".to_owned(), 3)].into();
    Notice { code, text: "3 records need you.".to_owned(), args, raised }
}

fn alert(code: Alert, raised: bool) -> Push {
    Push::Alert(notice(code, raised))
}
