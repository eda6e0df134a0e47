//! Becoming the agent, or a client of the one there is.

use crate::account::Keeper;
use crate::commands::{Service, kept_pause};
use crate::engine::{Command, Parts, watched};
use crate::live::Live;
use crate::prevented::StartError;
use crate::publish::publish;
use crate::rules_read::{self, look_at_rules};
use crate::surroundings::{Around, look_around};
use crate::tokens::{FileStore, Inherits, KeyringStore, TokenStore};
use crate::upkeep::{Chore, QUARTER, Upkeep, keep_up, look_out, recovered};
use heyho_buffer::{Buffer, BufferError, Recovery};
use heyho_local::clock::{self, Clock};
use heyho_local::config::{Config, TokenStore as Wanted};
use heyho_local::lock::{AgentLock, LockError};
use heyho_local::paths::{Paths, private_dir};
use heyho_local::socket::{self, Client};
use heyho_local::vocabulary::Companion;
use heyho_records::status::Said;
use heyho_sync::policy::TICK;
use heyho_sync::surroundings::Surroundings;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Key in the buffer's `meta`.
const DEVICE_ID: &str = "device_id";
/// An agent that has just taken its lock is about to open its socket.
const SOCKET_PATIENCE: Duration = Duration::from_secs(5);
/// Of the ten seconds after which a buffer that is in use by others is said to be busy: a large file is read out, or
/// copied before a migration, in minutes.
const BUSY_TIMES: u32 = 60;
/// A request may take as long as its timeout; whoever quits waits this long for the batch in flight, which is
/// safe to leave: it is sent again with the same key.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct StartOptions {
    pub paths: Paths,
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    /// Told when somebody asks for the window; none: a headless agent.
    pub open: Option<mpsc::Sender<()>>,
    /// What the network and the power are; none: the system is asked.
    pub surroundings: Option<watch::Receiver<Surroundings>>,
    /// Sync at once; off for commands that only change something.
    pub first_run: bool,
}

/// The agent of this process, or a connection to another's.
pub struct Started {
    pub companion: Arc<dyn Companion>,
    /// Only where this process is the agent.
    pub agent: Option<Agent>,
}

/// The agent of this process. It ends with [`Agent::shutdown`]; dropping it ends it at once.
pub struct Agent {
    commands: mpsc::Sender<Command>,
    upkeep: mpsc::UnboundedSender<Chore>,
    tasks: JoinSet<()>,
    buffer: Buffer,
    _lock: AgentLock,
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Started").field("is_agent", &self.agent.is_some()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

impl Agent {
    /// Ends after the batch in flight, and with nothing left of what was erased.
    pub async fn shutdown(mut self) {
        let (done, ended) = oneshot::channel();
        if self.commands.send(Command::Shutdown { done }).await.is_ok() {
            let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, ended).await;
        }
        let (done, ended) = oneshot::channel();
        if self.upkeep.send(Chore::End(done)).is_ok() {
            let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, ended).await;
        }
        self.tasks.shutdown().await;
        self.buffer.close().await;
    }
}

/// Becomes the agent where nobody is, and a client of it otherwise.
pub async fn start_or_join(options: StartOptions) -> Result<Started, StartError> {
    let deadline = tokio::time::Instant::now() + SOCKET_PATIENCE;
    loop {
        match AgentLock::take(&options.paths.agent_lock()) {
            Ok(lock) => return start(lock, options, TICK).await,
            Err(LockError::Taken) => {}
            Err(LockError::Io(e)) => return Err(StartError::Lock(e)),
        }
        match Client::connect(&options.paths.socket()).await {
            Ok(client) => return Ok(Started { companion: Arc::new(client), agent: None }),
            Err(e) if tokio::time::Instant::now() >= deadline => return Err(StartError::Silent(e)),
            // It is starting or ending: one of the two will work in a moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn start(lock: AgentLock, options: StartOptions, look_every: Duration) -> Result<Started, StartError> {
    let StartOptions { paths, config, clock, open, surroundings, first_run } = options;
    private_dir(&paths.data).map_err(|error| StartError::Folder { path: paths.data.clone(), error })?;
    let (buffer, recovery) = opened(&paths, clock.as_ref()).await?;
    let buffer = buffer.with_cap(config.buffer_max_bytes);
    let device_id = device_id(&buffer).await?;
    if config.tokens == Wanted::File {
        tracing::warn!(
            "[tokens] store = \"file\": tokens are kept in a file, readable by every program of this user"
        );
    }
    let keeper = Keeper::new(store(config.tokens, &paths));
    let live = Arc::new(Live::default());
    // Said until somebody has seen it, also by a later start.
    let erasing = buffer.owes_erasing().await?;
    let recovery = match recovery {
        Some(recovery) => {
            let said = recovered(&recovery, erasing);
            tracing::error!(why = recovery.why, place = %recovery.set_aside.display(), "{said}");
            Some(recovery)
        }
        None => buffer.recovery().await?.filter(|recovery| !recovery.seen),
    };
    if let Some(recovery) = &recovery {
        let mut said = Said::new("recovered", recovered(recovery, erasing))
            .with("saved", recovery.saved)
            .with("damaged", recovery.damaged);
        if let Some(expected) = recovery.expected {
            said = said.with("expected", expected);
        }
        live.change(|live| live.recovered = Some(said));
    }
    let paused = buffer.meta(heyho_buffer::PAUSED_UNTIL).await?;
    live.change(|live| live.paused = kept_pause(paused.as_deref(), clock.now()));

    let (status_out, status) = watch::channel(None);
    let (commands, received) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    let settings = watch::Sender::new(config.clone());
    tasks.spawn(publish(buffer.clone(), live.clone(), clock.clone(), settings.subscribe(), status_out));
    let (upkeep, wanted) = mpsc::unbounded_channel();
    let keeping = Upkeep { buffer: buffer.clone(), live: live.clone(), clock: clock.clone() };
    tasks.spawn(keep_up(keeping, wanted, QUARTER));
    tasks.spawn(look_out(buffer.clone(), live.clone()));
    tasks.spawn(look_at_rules(paths.config_file(), live.clone(), rules_read::LOOK));
    let listener =
        socket::bind(&paths.socket()).map_err(|error| StartError::Socket { path: paths.socket(), error })?;
    let in_force = settings.subscribe();
    let service: Arc<dyn Companion> = Arc::new(Service {
        buffer: buffer.clone(),
        keeper: keeper.clone(),
        live: live.clone(),
        clock: clock.clone(),
        paths,
        config: settings,
        device_id: device_id.clone(),
        commands: commands.clone(),
        status,
        open,
        started: tokio::time::Instant::now(),
        sessions: tokio::sync::Mutex::new(()),
        counted: std::sync::Mutex::default(),
    });
    tasks.spawn(socket::serve(listener, service.clone()));
    let around = match surroundings {
        Some(told) => Around::told(told),
        None => {
            let (around, looking) = look_around();
            tasks.spawn(looking);
            around
        }
    };
    let parts = Parts {
        buffer: buffer.clone(),
        keeper,
        live,
        clock,
        device_id,
        settings: in_force,
        around,
        first_run,
        look_every,
        upkeep: upkeep.clone(),
    };
    tasks.spawn(watched(parts, received));
    Ok(Started { companion: service, agent: Some(Agent { commands, upkeep, tasks, buffer, _lock: lock }) })
}

/// Waits while another program brings the schema up to date or reads out a damaged file: that takes as long as it takes.
async fn opened(paths: &Paths, clock: &dyn Clock) -> Result<(Buffer, Option<Recovery>), BufferError> {
    for _ in 0..BUSY_TIMES {
        match Buffer::open_or_recover(&paths.buffer(), clock.now_ms()).await {
            Err(BufferError::Busy) => {
                tracing::warn!("another program is busy with the buffer: waiting for it")
            }
            opened => return opened,
        }
    }
    Err(BufferError::Busy)
}

/// Where the settings want tokens kept.
pub fn store(wanted: Wanted, paths: &Paths) -> Arc<dyn TokenStore> {
    match wanted {
        Wanted::Keyring => {
            Arc::new(Inherits { store: Arc::new(KeyringStore), from: FileStore::new(paths.token_file()) })
        }
        Wanted::File => Arc::new(FileStore::new(paths.token_file())),
    }
}

/// Made once for this installation.
async fn device_id(buffer: &Buffer) -> Result<String, BufferError> {
    if let Some(id) = buffer.meta(DEVICE_ID).await? {
        return Ok(id);
    }
    let id = clock::new_id().to_string();
    buffer.set_meta(DEVICE_ID, &id).await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_buffer::{Arrival, Source};
    use heyho_records::status::Status;
    use std::path::PathBuf;
    use std::process::Command;

    /// By an event: in an hour's looking now and then nothing would be seen, and nobody nudges.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_another_process_stores_shows_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str| dir.path().join(name);
        let paths = Paths { data: of("data"), config: of("config"), state: of("state"), runtime: of("run") };
        let (_around, told) = watch::channel(Surroundings::default());
        let options = StartOptions {
            paths: paths.clone(),
            config: Config::parse("[tokens]\nstore = 'file'\n", "config.toml").unwrap(),
            clock: clock::system(),
            open: None,
            surroundings: Some(told),
            first_run: false,
        };
        let lock = AgentLock::take(&paths.agent_lock()).unwrap();
        let started = start(lock, options, Duration::from_secs(3_600)).await.unwrap();
        let mut watch = started.companion.watch();
        // More than one: what a start looks at by itself is over by then.
        for n in 1..=3 {
            let mut other = Command::new(std::env::current_exe().unwrap());
            other.args(["--exact", "start::tests::another_process_that_stores", "--ignored"]);
            assert!(other.env("HEYHO_TEST_BUFFER", paths.buffer()).output().unwrap().status.success());
            let shown =
                watch.wait_for(|status: &Option<Status>| status.as_ref().is_some_and(|s| s.unclaimed == n));
            tokio::time::timeout(Duration::from_secs(20), shown).await.unwrap().unwrap();
        }
        started.agent.unwrap().shutdown().await;
    }

    #[tokio::test]
    #[ignore = "the other test starts it"]
    async fn another_process_that_stores() {
        let Some(path) = std::env::var_os("HEYHO_TEST_BUFFER").map(PathBuf::from) else { return };
        let buffer = Buffer::open(&path).await.unwrap();
        let source = Source {
            name: "ext#p".to_owned(),
            profile_id: "p".to_owned(),
            browser: String::new(),
            client: String::new(),
        };
        let visit = format!(r#"{{"id":"{}","url":"http://a/","startedAt":1}}"#, clock::new_id());
        buffer.append(&source, &[Arrival::read(None, &[&visit], &[])], 0, 1).await.unwrap();
        buffer.close().await;
    }
}
