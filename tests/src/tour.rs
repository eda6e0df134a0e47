//! The window in every state, each brought about for real: backend stopped, network with a sign-in page, everything
//! refused, a record rejected, session revoked, two accounts. The end-to-end test looks at what it says and lets
//! axe judge it; `cargo xtask screenshots` takes pictures. Both see the same, so that no picture is of something
//! that is not tested.

use crate::backend::Backend;
use crate::companion::{self, EMAIL, PASSWORD, Tokens};
use crate::faulty::{Fault, Faulty};
use crate::host::Host;
use crate::window::Window;
use crate::world::World;
use crate::{SOON, chromium, desktop, eventually, rows, window, x11};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// How the window looks on one tour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub appearance: &'static str,
    pub language: &'static str,
    pub size: (u32, u32),
    /// For who sees badly, or is made ill by motion: text at 200 %, and nothing moves, as the desktop is set.
    pub eased: bool,
}

pub const LIGHT: Look = Look { appearance: "light", language: "en", size: (440, 640), eased: false };
pub const DARK: Look = Look { appearance: "dark", ..LIGHT };
pub const NARROW: Look = Look { size: (360, 640), ..LIGHT };
pub const GERMAN: Look = Look { language: "de", ..LIGHT };
pub const EASED: Look = Look { size: (720, 900), eased: true, ..LIGHT };

impl Look {
    /// As the size of the text would: everything is measured by it. (Ctrl and plus make a page larger in which the driver
    /// does not find what it clicks; that they do is asked in the tour by keyboard.)
    pub async fn enlarge(self, window: &Window) -> Result<()> {
        if self.eased {
            window.value("document.documentElement.style.fontSize = '200%'").await?;
        }
        Ok(())
    }
}

/// Somebody who looks at each stop. The name is unique on the tour; the state is the head's `data-state`, empty where
/// there is no head.
pub trait Visitor {
    fn look(&mut self, name: &str, state: &str, window: &Window) -> impl Future<Output = Result<()>>;
}

/// Titles of pages a person may have read.
const TITLES: [(&str, &str); 6] = [
    ("Tide tables for the northern sea", "tides.example.org"),
    ("How to tie a bowline", "knots.example.net"),
    ("Weather for the week", "weather.example.com"),
    ("A short history of lighthouses and of those who kept them", "lights.example.org"),
    ("Bread without kneading", "kitchen.example.com"),
    ("The night sky in November", "stars.example.net"),
];

pub fn visit(n: usize) -> Value {
    let (title, host) = TITLES[n % TITLES.len()];
    json!({
        "id": format!("visit-{n:05}"),
        "url": format!("https://{host}/{n}"),
        "title": title,
        "visited_at": 1_790_000_000_000_u64 + 1000 * n as u64,
        "tabId": n % 5,
    })
}

/// A record that no backend would take: it fails where it is captured.
pub fn bad_visit(n: usize) -> Value {
    json!({"id": format!("bad-{n:05}"), "url": "javascript:alert(1)", "title": "A bookmarklet",
           "visited_at": 1_790_000_000_000_u64 + n as u64})
}

/// Hands records over as the extension does; what became of them.
pub async fn hand_over(world: &World, visits: &[Value]) -> Result<Value> {
    let mut host = Host::start(world, &chromium::origin()?)?;
    let client = json!({"name": "tour", "version": "1", "browser": "Chromium", "browserVersion": "1",
                        "profileId": "tour"});
    host.ask(&json!({"type": "hello", "protocol": 1, "client": client})).await?;
    let answer = host.ask(&json!({"type": "records", "id": "r", "pageVisits": visits})).await?;
    ensure!(answer["type"] == "ack", "{answer}");
    host.hang_up().await?;
    Ok(answer)
}

/// Settings for a tour: a backend, tokens in a file, and the look.
pub fn configure(world: &World, backend: &str, look: Look) -> Result<()> {
    companion::configure(world, backend, Tokens::File)?;
    let path = world.config_home().join("heyho-companion/config.toml");
    let text = std::fs::read_to_string(&path)?;
    let Look { appearance, language, size: (width, height), eased } = look;
    let more = format!("\n[window]\nappearance = \"{appearance}\"\nlanguage = \"{language}\"\n");
    if eased {
        let toolkit = world.config_home().join("gtk-3.0");
        std::fs::create_dir_all(&toolkit)?;
        std::fs::write(toolkit.join("settings.ini"), "[Settings]\ngtk-enable-animations=0\n")?;
    }
    std::fs::write(&path, text + &more)?;
    let state = window::state_dir(world);
    std::fs::create_dir_all(&state)?;
    // As a window of that size left it behind.
    let place = json!({"main": {"width": width, "height": height, "x": 20, "y": 20, "prev_x": 20, "prev_y": 20,
                                "maximized": false, "visible": true, "decorated": true, "fullscreen": false}});
    Ok(std::fs::write(state.join("place.json"), place.to_string())?)
}

/// Leads a visitor through everything, in a world of its own.
pub async fn tour(look: Look, visitor: &mut impl Visitor) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    let port = backend.port();
    configure(&world, &backend.url(), look)?;
    chromium::profile(&world)?;

    let window = Window::start_first(&world).await?;
    look.enlarge(&window).await?;
    first_run(&window, visitor).await?;
    if look == LIGHT {
        full_screen(&world, &window, visitor).await?;
    }
    let backend = day(&world, &window, backend, visitor).await?;
    failures(&world, &window, visitor).await?;
    settings(&window, visitor).await?;
    let _backend = accounts(&world, &window, backend, port, visitor).await?;
    window.close().await?;
    world.done();
    Ok(())
}

async fn first_run(window: &Window, visitor: &mut impl Visitor) -> Result<()> {
    window.shows("first-run", "data-step", "1").await?;
    visitor.look("first-run-1", "", window).await?;
    window.click("first-agree").await?;
    window.has("browser-row", true).await?;
    visitor.look("first-run-2", "", window).await?;
    window.click("browser-register").await?;
    window.shows("browser-row", "data-state", "registered").await?;
    window.click("first-next").await?;
    visitor.look("first-run-3", "", window).await?;
    window.click("first-skip").await?;
    visitor.look("first-run-done", "", window).await?;
    window.click("first-finish").await?;
    window.shows("status-head", "data-state", "signed_out").await?;
    visitor.look("signed-out", "signed_out", window).await?;
    window.fill("signin-email", EMAIL).await?;
    window.fill("signin-password", "not the password").await?;
    window.click("signin-submit").await?;
    window.shows("signin-error", "data-code", "wrong_credentials").await?;
    visitor.look("wrong-password", "signed_out", window).await?;
    // A backend that wants the address confirmed.
    let place = window.value("document.querySelector('[data-testid=signin-backend]').value").await?;
    let strict = Faulty::start(0, Fault::Unconfirmed).await?;
    window.fill("signin-backend", &format!("http://127.0.0.1:{}", strict.port())).await?;
    window.fill("signin-password", PASSWORD).await?;
    window.click("signin-submit").await?;
    window.has("verify", true).await?;
    visitor.look("code-form", "signed_out", window).await?;
    window.click("verify-cancel").await?;
    window.click("signin-forgot").await?;
    window.has("reset", true).await?;
    visitor.look("new-password", "signed_out", window).await?;
    window.click("verify-cancel").await?;
    strict.stop().await;
    window.fill("signin-backend", place.as_str().context("the address in the form")?).await?;
    // The other one sends no e-mail, and it is said that it is that.
    window.click("signin-forgot").await?;
    window.shows("signin-error", "data-code", "not_offered").await?;
    visitor.look("no-mail", "signed_out", window).await?;
    window.register(EMAIL, PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.value("scrollTo(0, 0)").await?;
    visitor.look("up-to-date", "up_to_date", window).await
}

/// As large as a screen, and again as it was.
async fn full_screen(world: &World, window: &Window, visitor: &mut impl Visitor) -> Result<()> {
    for (size, there) in [((1920, 1080), true), (LIGHT.size, false)] {
        x11::resize_window(world, "HeyHo Companion", size)?;
        eventually(SOON, "a window of that size", async || {
            let width = window.value("innerWidth").await?;
            ensure!(width == size.0, "{width}");
            Ok(())
        })
        .await?;
        if there {
            visitor.look("full-screen", "up_to_date", window).await?;
        }
    }
    Ok(())
}

/// Waiting, paused, and all that a backend or a network can do wrong.
async fn day(
    world: &World,
    window: &Window,
    backend: Backend,
    visitor: &mut impl Visitor,
) -> Result<Backend> {
    // No tour takes so long that there would be a chart.
    rows::past_day(world).await?;
    let visits: Vec<Value> = (0..40).map(visit).collect();
    hand_over(world, &visits).await?;
    window.shows("status-head", "data-state", "waiting").await?;
    visitor.look("waiting", "waiting", window).await?;
    window.click("waiting-show").await?;
    window.has("waiting-row", true).await?;
    window.bring("waiting-show").await?;
    visitor.look("what-waits", "waiting", window).await?;
    window.fill("waiting-search", "bowline").await?;
    window.says("waiting", |text| !text.contains("Tide tables")).await?;
    visitor.look("search", "waiting", window).await?;
    window.click("waiting-show").await?;
    window.value("scrollTo(0, 0)").await?;
    window.click("pause").await?;
    window.has("pause-hour", true).await?;
    visitor.look("pausing", "waiting", window).await?;
    window.click("pause-hour").await?;
    window.shows("status-head", "data-state", "paused").await?;
    visitor.look("paused", "paused", window).await?;
    window.click("resume").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.has("delivered", true).await?;
    visitor.look("delivered", "up_to_date", window).await?;
    chart(window, visitor).await?;

    let port = backend.port();
    backend.kill().await?;
    let visits: Vec<Value> = (40..65).map(visit).collect();
    hand_over(world, &visits).await?;
    window.shows("status-head", "data-state", "waiting").await?;
    // Stopped while the first batch is in flight: it ends with that.
    let silent = Faulty::start(port, Fault::Silent).await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "syncing").await?;
    window.shows("progress", "aria-valuemax", "25").await?;
    visitor.look("syncing", "syncing", window).await?;
    window.click("stop").await?;
    silent.stop().await;
    window.shows("status-head", "data-state", "waiting").await?;
    visitor.look("stopped", "waiting", window).await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "retrying").await?;
    visitor.look("backend-stopped", "retrying", window).await?;
    let portal = Faulty::start(port, Fault::HtmlWith200).await?;
    window.click("sync-now").await?;
    window.says("status-head", |text| ["web page", "Webseite"].iter().any(|w| text.contains(w))).await?;
    visitor.look("sign-in-page", "retrying", window).await?;
    portal.stop().await;
    let refusing = Faulty::start(port, Fault::Forbidden).await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "needs_attention").await?;
    visitor.look("refused", "needs_attention", window).await?;
    refusing.stop().await;
    let backend = Backend::start_on(world, port).await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    Ok(backend)
}

/// The last day as a chart.
async fn chart(window: &Window, visitor: &mut impl Visitor) -> Result<()> {
    window.has("day", true).await?;
    eventually(SOON, "bars in the chart", async || {
        let drawn = window.value(BARS).await?;
        ensure!(drawn.as_u64().is_some_and(|pixels| pixels > 200), "{drawn} pixels");
        Ok(())
    })
    .await?;
    window.bring("day").await?;
    visitor.look("chart", "up_to_date", window).await?;
    window.click("day-table").await?;
    visitor.look("chart-table", "up_to_date", window).await?;
    window.click("day-table").await?;
    window.value("scrollTo(0, 0)").await.map(drop)
}

/// How many pixels of the chart have the colour of what was sent.
const BARS: &str = "(() => {
    const chart = document.querySelector('[data-testid=day] canvas');
    if (!chart) return 0;
    const pen = document.createElement('canvas').getContext('2d');
    pen.fillStyle = getComputedStyle(chart).getPropertyValue('--accent').trim();
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
    const { data } = chart.getContext('2d').getImageData(0, 0, chart.width, chart.height);
    let pixels = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255) pixels += 1;
    return pixels;
})()";

/// A view that meets a fault of the window itself: here, of the language's own numbers.
async fn undrawn(window: &Window, visitor: &mut impl Visitor) -> Result<()> {
    window.value("(window.whole = Intl.NumberFormat, Intl.NumberFormat = null)").await?;
    window.click("tab-history").await?;
    window.has("undrawn", true).await?;
    visitor.look("undrawn", "up_to_date", window).await?;
    window.value("(Intl.NumberFormat = window.whole, 0)").await?;
    window.click("draw-again").await?;
    window.has("history-row", true).await?;
    window.click("tab-browsers").await
}

async fn failures(world: &World, window: &Window, visitor: &mut impl Visitor) -> Result<()> {
    window.click("tab-failed").await?;
    window.has("failed-empty", true).await?;
    visitor.look("no-failed", "up_to_date", window).await?;
    window.click("tab-history").await?;
    window.has("history-row", true).await?;
    visitor.look("history", "up_to_date", window).await?;
    window.click("tab-browsers").await?;
    undrawn(window, visitor).await?;
    window.has("browser-row", true).await?;
    visitor.look("browsers", "up_to_date", window).await?;

    let bad: Vec<Value> = (0..4).map(bad_visit).collect();
    let answer = hand_over(world, &bad).await?;
    ensure!(answer["rejected"].as_array().is_some_and(|r| r.len() == 4), "{answer}");
    window.shows("status-head", "data-state", "needs_attention").await?;
    window.click("tab-failed").await?;
    window.has("failed-row", true).await?;
    visitor.look("failed", "needs_attention", window).await?;
    window.click("failed-choose").await?;
    window.has("failed-chosen", true).await?;
    visitor.look("failed-chosen", "needs_attention", window).await?;
    window.click("chosen-none").await?;
    window.value("document.querySelector('[data-row=\"0\"]').click()").await?;
    window.has("failed-discard", true).await?;
    visitor.look("failed-open", "needs_attention", window).await?;
    window.click("failed-discard").await?;
    window.has("confirm", true).await?;
    visitor.look("discard", "needs_attention", window).await?;
    window.click("confirm").await?;
    window.click("failed-more").await?;
    window.has("failed-keep-all", true).await?;
    visitor.look("for-all", "needs_attention", window).await?;
    window.click("failed-keep-all").await?;
    window.shows("status-head", "data-state", "up_to_date").await
}

async fn settings(window: &Window, visitor: &mut impl Visitor) -> Result<()> {
    window.click("tab-settings").await?;
    window.has("rule-form", true).await?;
    window.value("scrollTo(0, 0)").await?;
    visitor.look("settings", "up_to_date", window).await?;
    for (part, name) in [("rule-form", "settings-privacy"), ("erase", "settings-data")] {
        window.bring(part).await?;
        visitor.look(name, "up_to_date", window).await?;
    }
    window.bring("forget-site").await?;
    window.fill("forget-site", "tides.example.org").await?;
    question(window, "forget", "forget", "up_to_date", visitor).await?;
    question(window, "erase", "erase", "up_to_date", visitor).await?;
    window.value("scrollTo(0, 0)").await?;
    window.click("tab-overview").await
}

/// What is asked before something is done for good; this time it is not done.
async fn question(
    window: &Window,
    button: &str,
    name: &str,
    state: &str,
    visitor: &mut impl Visitor,
) -> Result<()> {
    window.bring(button).await?;
    window.click(button).await?;
    window.has("confirm", true).await?;
    visitor.look(name, state, window).await?;
    window.keys(ESCAPE).await?;
    window.has("confirm", false).await
}

const ESCAPE: &str = "\u{e00c}";

/// Signing out with records unsent, somebody else, and a session that is revoked.
async fn accounts(
    world: &World,
    window: &Window,
    backend: Backend,
    port: u16,
    visitor: &mut impl Visitor,
) -> Result<Backend> {
    let visits: Vec<Value> = (70..82).map(visit).collect();
    hand_over(world, &visits).await?;
    window.shows("status-head", "data-state", "waiting").await?;
    window.click("tab-settings").await?;
    window.click("sign-out").await?;
    window.has("unsent", true).await?;
    visitor.look("sign-out", "waiting", window).await?;
    window.click("confirm").await?;
    window.shows("status-head", "data-state", "signed_out").await?;
    let visits: Vec<Value> = (90..95).map(visit).collect();
    hand_over(world, &visits).await?;
    window.click("tab-overview").await?;
    window.has("signin-claim", true).await?;
    visitor.look("somebody-else", "signed_out", window).await?;
    let place = window.value("document.querySelector('[data-testid=signin-backend]').value").await?;
    window.fill("signin-email", EMAIL).await?;
    window.fill("signin-password", PASSWORD).await?;
    window.fill("signin-backend", "http://127.0.0.1:9").await?;
    question(window, "signin-submit", "other-backend", "signed_out", visitor).await?;
    window.fill("signin-backend", place.as_str().context("the address in the form")?).await?;
    window.value("scrollTo(0, 0)").await?;
    window.register("grace@example.org", PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.has("claim", true).await?;
    window.says("status-others", |text| text.contains("17")).await?;
    window.value("scrollTo(0, 0)").await?;
    visitor.look("two-accounts", "up_to_date", window).await?;
    question(window, "claim", "claim", "up_to_date", visitor).await?;
    question(window, "discard-account", "discard-account", "up_to_date", visitor).await?;
    window.value("scrollTo(0, 0)").await?;

    // A backend that has lost its keys and its users takes no token of before.
    backend.kill().await?;
    std::fs::remove_dir_all(world.data_home().join("heyho-backend")).context("the backend's files")?;
    let backend = Backend::start_on(world, port).await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "session_expired").await?;
    window.value("scrollTo(0, 0)").await?;
    visitor.look("session-expired", "session_expired", window).await?;
    Ok(backend)
}
