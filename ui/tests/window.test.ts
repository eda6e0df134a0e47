import { cleanup } from "@testing-library/svelte";
import { flushSync } from "svelte";
import { expect, test, vi } from "vitest";
import type { Status } from "../src/generated/Status";
import { FakeCompanion } from "./fake";
import { clipboard, german, now, open, settle } from "./opened";
import { browserRows, failedRecords, runs, scenes, waitingRecords } from "./scenes";

const all = scenes(now);

test("the head and the backlog say what the status says, and follow each event", async () => {
  const w = await open(all["waiting"]!);
  expect(w.find("status-head")?.dataset.state).toBe("waiting");
  expect(w.text("status-sentence")).toBe("1,204 records waiting");
  expect([w.text("backlog-visits"), w.text("backlog-aggregates"), w.text("backlog-bytes")]).toEqual(["980", "224", "1.5 MB"]);
  w.companion.say(all["up_to_date"]!);
  await settle();
  expect(w.find("status-head")?.dataset.state).toBe("up_to_date");
  expect([w.text("status-sentence"), w.text("backlog-visits")]).toEqual(["Up to date", "0"]);
  expect(w.find("last-sync")?.querySelector("time")?.title).toContain("21 November 2026");
  expect(w.asked("status")).toHaveLength(1);
});

test("relative times move on by themselves, without a question to the agent", async () => {
  const w = await open(all["retrying"]!);
  expect(w.text("status-detail")).toContain("in 40 sec");
  const before = w.companion.asked.length;
  vi.advanceTimersByTime(15_000);
  flushSync();
  expect(w.text("status-detail")).toContain("in 25 sec");
  expect(w.companion.asked).toHaveLength(before);
});

test("an event that came before the answer wins over it", async () => {
  const companion = new FakeCompanion(all["waiting"]!);
  companion.status = () => {
    companion.heard?.(all["up_to_date"]!);
    return Promise.resolve(all["waiting"]!);
  };
  const w = await open(null, companion);
  expect(w.find("status-head")?.dataset.state).toBe("up_to_date");
});

test("before the agent's first word it is connecting, not gone", async () => {
  const w = await open(null);
  expect(w.find("status-head")?.dataset.state).toBe("connecting");
  w.companion.say(null);
  await settle();
  expect(w.find("status-head")?.dataset.state).toBe("connecting");
});

test("when the agent is gone it says so and shows no number", async () => {
  const w = await open(all["waiting"]!);
  w.companion.gone?.();
  await settle();
  expect(w.find("status-head")?.dataset.state).toBe("disconnected");
  expect(w.find("last-sync")).toBeNull();
  w.companion.say(null);
  await settle();
  expect(w.find("backlog-visits")).toBeNull();
  expect(w.find("sync-now")).toBeNull();
});

test("sync now asks for a sync, becomes progress with stop, and a refusal is named", async () => {
  const w = await open(all["waiting"]!);
  await w.press("sync-now");
  expect(w.asked("sync")).toEqual([[]]);
  w.companion.say(all["syncing"]!);
  await settle();
  expect(w.find("sync-now")).toBeNull();
  expect(w.find("progress")?.getAttribute("aria-valuenow")).toBe("1200");
  await w.press("stop");
  expect(w.asked("stop")).toEqual([[]]);
  w.companion.refusals.set("sync", { code: "try_later", text: "the backend asked for 30 s" });
  w.companion.say(all["waiting"]!);
  await settle();
  await w.press("sync-now");
  expect(w.find("fault")?.dataset.code).toBe("try_later");
  expect(w.text("fault")).toContain("the backend asked for 30 s");
});

test("pause and resume", async () => {
  const w = await open(all["up_to_date"]!);
  await w.press("pause");
  await w.press("pause-hour");
  await w.press("pause");
  await w.press("pause-tomorrow");
  await w.press("pause");
  await w.press("pause-open");
  expect(w.asked("pause")).toEqual([[3600], [15.5 * 3600], [null]]);
  w.companion.say(all["paused"]!);
  await settle();
  await w.press("resume");
  expect(w.asked("resume")).toEqual([[]]);
});

test("signing in sends the form and keeps no password", async () => {
  const w = await open(all["signed_out"]!);
  const password = w.find("signin-password") as HTMLInputElement;
  (w.find("signin-email") as HTMLInputElement).value = " mia@example.org ";
  password.value = "long enough";
  expect((w.find("signin-backend") as HTMLInputElement).value).toBe("http://127.0.0.1:3001");
  await w.press("signin-submit");
  expect(w.asked("login")).toEqual([
    [{ email: "mia@example.org", password: "long enough", register: false, backend: "http://127.0.0.1:3001" }],
  ]);
  expect(password.value).toBe("");
  expect(JSON.stringify([w.session.status, w.session.about, w.session.fault, w.session.running])).not.toContain("long enough");
  expect(w.container.innerHTML).not.toContain("long enough");
});

test("a sign-in that fails is named, keeps the e-mail and clears the password", async () => {
  const w = await open(all["signed_out"]!);
  w.companion.refusals.set("login", { code: "wrong_credentials", text: "The agent says it its own way." });
  (w.find("signin-email") as HTMLInputElement).value = "mia@example.org";
  (w.find("signin-password") as HTMLInputElement).value = "wrong";
  await w.press("signin-submit");
  expect(w.text("signin-error")).toBe("E-mail or password is wrong.");
  expect((w.find("signin-email") as HTMLInputElement).value).toBe("mia@example.org");
  expect((w.find("signin-password") as HTMLInputElement).value).toBe("");
});

test("what cannot be a sign-in is refused in the form, with the field named", async () => {
  const w = await open(all["signed_out"]!);
  await w.press("signin-mode-register");
  const attempt = async (email: string, password: string, backend: string) => {
    (w.find("signin-email") as HTMLInputElement).value = email;
    (w.find("signin-password") as HTMLInputElement).value = password;
    (w.find("signin-backend") as HTMLInputElement).value = backend;
    await w.press("signin-submit");
    return w.find("signin-error")?.dataset.field;
  };
  expect(await attempt("", "long enough", "")).toBe("email");
  expect(await attempt("mia", "long enough", "")).toBe("email");
  expect(await attempt("mia@example.org", "", "")).toBe("password");
  expect(await attempt("mia@example.org", "short", "")).toBe("password");
  expect(await attempt("mia@example.org", "long enough", "ftp://x")).toBe("backend");
  expect(w.asked("login")).toEqual([]);
  expect(await attempt("mia@example.org", "long enough", "")).toBeUndefined();
  expect(w.asked("login")).toEqual([[{ email: "mia@example.org", password: "long enough", register: true }]]);
});

test("records of nobody beside another account's: claimed only when asked for", async () => {
  const w = await open(all["other_account"]!);
  expect((w.find("signin-claim") as HTMLInputElement).checked).toBe(false);
  (w.find("signin-email") as HTMLInputElement).value = "mia@example.org";
  (w.find("signin-password") as HTMLInputElement).value = "long enough";
  await w.press("signin-submit");
  expect(w.asked("login")[0]?.[0]).toMatchObject({ claim: false });
});

test("signing out says how much is not delivered, and asks", async () => {
  const w = await open(all["waiting"]!);
  await w.press("tab-settings");
  expect(w.text("account-email")).toBe("mia@example.org");
  await w.press("sign-out");
  expect(w.container.querySelector("dialog")?.textContent).toContain("1,204 records have not been delivered");
  expect(w.asked("logout")).toEqual([]);
  await w.press("confirm");
  expect(w.asked("logout")).toEqual([[]]);
});

test("no failed record is a friendly line", async () => {
  const w = await open(all["up_to_date"]!);
  await w.press("tab-failed");
  expect(w.text("failed-empty")).toContain("No record has failed");
});

test("failed records: why, and what can be done about each", async () => {
  const w = await open(all["needs_attention"]!, new FakeCompanion(all["needs_attention"]!, failedRecords(now, 5)));
  await w.press("show-failed");
  const reasons = Array.from(w.container.querySelectorAll("[data-testid=failed-reason]"), (e) => e.textContent);
  expect(reasons).toHaveLength(5);
  // A row has room for one line: the sentence around it is in the opened part.
  expect(reasons.slice(0, 2)).toEqual(["URL is longer than 2,048 characters", "Must not be negative"]);
  expect(reasons[2]).toMatch(/^Url is javascript/);
  w.container.querySelector<HTMLElement>('[data-row="0"]')?.click();
  await settle();
  expect(w.asked("failedShow")).toEqual([[1]]);
  expect(w.text("failed-why")).toBe("The backend refused it: URL is longer than 2,048 characters");
  expect(w.text("failed-field")).toBe("url");
  await w.press("failed-retry");
  expect(w.asked("failedRetry")).toEqual([[{ ids: [1] }]]);
  expect(w.container.querySelectorAll("[data-testid=failed-row]")).toHaveLength(4);
  w.container.querySelector<HTMLElement>('[data-row="0"]')?.click();
  await settle();
  await w.press("failed-discard");
  expect(w.asked("failedDiscard")).toEqual([]);
  expect(w.container.querySelector("dialog")?.textContent).toContain("the only copy");
  await w.press("confirm");
  expect(w.asked("failedDiscard")).toEqual([[{ ids: [2] }, null]]);
  w.container.querySelector<HTMLElement>('[data-row="0"]')?.click();
  await settle();
  await w.press("failed-keep");
  expect(w.asked("failedKeep")).toEqual([[{ ids: [3] }]]);
});

test("what is done for all is done for what the filter shows", async () => {
  const w = await open(all["needs_attention"]!, new FakeCompanion(all["needs_attention"]!, failedRecords(now, 5)));
  await w.press("tab-failed");
  const filter = w.find("failed-filter") as HTMLSelectElement;
  filter.value = "rejected_by_backend";
  filter.dispatchEvent(new Event("change", { bubbles: true }));
  await settle();
  expect(w.container.querySelectorAll("[data-testid=failed-row]")).toHaveLength(2);
  await w.press("failed-more");
  await w.press("failed-keep-all");
  expect(w.asked("failedKeep")).toEqual([[{ reason: "rejected_by_backend" }]]);
});

test("five thousand failed records: few in the document, the last one reached by the End key", async () => {
  const companion = new FakeCompanion(all["needs_attention"]!, failedRecords(now, 5000));
  const w = await open(all["needs_attention"]!, companion);
  await w.press("tab-failed");
  expect(w.asked("failedList")).toHaveLength(1);
  const first = w.container.querySelector<HTMLElement>('[data-row="0"]');
  first?.focus();
  first?.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
  for (let i = 0; i < 10; i += 1) await settle();
  expect(w.container.querySelectorAll("[data-testid=failed-row]").length).toBeLessThanOrEqual(80);
  expect((document.activeElement as HTMLElement).dataset.row).toBe("4999");
});

test("the list is read again when the status counts another number, and not otherwise", async () => {
  const companion = new FakeCompanion(all["needs_attention"]!, failedRecords(now, 5));
  const w = await open(all["needs_attention"]!, companion);
  await w.press("tab-failed");
  companion.say({ ...all["needs_attention"]!, lastConfirmedAt: now.toISOString() });
  await settle();
  expect(w.asked("failedList")).toHaveLength(1);
  companion.failed = failedRecords(now, 6);
  companion.say({ ...all["needs_attention"]!, failed: 6 });
  await settle();
  expect(w.container.querySelectorAll("[data-testid=failed-row]")).toHaveLength(6);
});

test("history shows the last runs with what they came to", async () => {
  const w = await open(all["up_to_date"]!, new FakeCompanion(all["up_to_date"]!, [], runs(now)));
  await w.press("tab-history");
  const rows = w.container.querySelectorAll<HTMLElement>("[data-testid=history-row]");
  expect(Array.from(rows, (r) => r.dataset.outcome)).toEqual(["emptied", "no_answer", "emptied", "nothing_to_send", "stopped"]);
  expect(rows[1]?.textContent).toContain("connection refused");
});

test("browsers: how each stands, and the one button that mends it", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.rows = browserRows(now);
  const w = await open(all["up_to_date"]!, companion);
  await w.press("tab-browsers");
  const states = () => Array.from(w.container.querySelectorAll<HTMLElement>("[data-testid=browser-row]"), (r) => r.dataset.state);
  expect(states()).toEqual(["connected", "not_registered", "blocked"]);
  expect(w.text("browsers")).toContain("flatpak override --user");
  await w.press("browser-register");
  expect(w.asked("registerBrowser")).toEqual([["firefox"]]);
  expect(states()).toEqual(["connected", "registered", "blocked"]);
});

test("arrow keys go through the tabs", async () => {
  const w = await open(all["up_to_date"]!);
  const key = async (name: string) => {
    document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
    await settle();
  };
  w.find("tab-overview")?.focus();
  await key("ArrowRight");
  expect(w.session.tab).toBe("failed");
  await key("End");
  expect(w.session.tab).toBe("settings");
  await key("ArrowRight");
  expect(w.session.tab).toBe("overview");
  expect((document.activeElement as HTMLElement).dataset.testid).toBe("tab-overview");
});

test("the first run: consent first, then browsers, then an account or none, then the count", async () => {
  const companion = new FakeCompanion(all["signed_out"]!);
  companion.shell = { firstRun: true };
  const w = await open(all["signed_out"]!, companion);
  expect(w.find("status-head")).toBeNull();
  expect(w.asked("browsers")).toEqual([]);
  await w.press("first-agree");
  expect(w.asked("welcome")).toEqual([[]]);
  expect((w.find("start-at-login") as HTMLInputElement).checked).toBe(false);
  await w.press("start-at-login");
  expect(w.asked("startAtLogin")).toEqual([[null], [true]]);
  await w.press("first-next");
  await w.press("first-skip");
  expect(w.text("first-count")).toBe("87");
  w.companion.say({ ...all["signed_out"]!, unclaimed: 88 });
  await settle();
  expect(w.text("first-count")).toBe("88");
  await w.press("first-finish");
  expect(w.find("status-head")?.dataset.state).toBe("signed_out");
});

test("declining the first question ends the companion and asks nothing else", async () => {
  const companion = new FakeCompanion(all["signed_out"]!);
  companion.shell = { firstRun: true };
  const w = await open(all["signed_out"]!, companion);
  await w.press("first-decline");
  expect(w.asked("quit")).toEqual([[]]);
  expect(w.asked("welcome")).toEqual([]);
  expect(w.text("status-sentence")).toBe("Ending after the batch in flight");
});

test("whether it is the first run is known once the agent has said who is signed in, and not before", async () => {
  const companion = new FakeCompanion(null);
  companion.shell = { firstRun: true };
  const w = await open(null, companion);
  expect([w.find("first-run"), w.find("tab-overview")]).toEqual([null, null]);
  // On the command line, where whoever signed in was asked.
  w.companion.say(all["up_to_date"]!);
  await settle();
  expect(w.text("status-sentence")).toBe("Up to date");
  w.companion.say(all["signed_out"]!);
  await settle();
  expect(w.find("first-run")).toBeNull();
});

test("a store that cannot be used keeps it from starting: why, and try again, until it works", async () => {
  const prevented: Status = {
    ...all["buffer_problem"]!,
    reason: "it was written by a newer version",
    reasonCode: "no_start",
  };
  const w = await open(prevented);
  expect(w.find("status-head")).toBeNull();
  expect(w.text("problem-text")).toBe("It was written by a newer version");
  expect(w.text("no-start")).toContain("Nothing was deleted");
  await w.press("restart");
  expect(w.asked("restart")).toEqual([[]]);
  expect((w.find("restart") as HTMLButtonElement).disabled).toBe(true);
  w.companion.say({ ...prevented });
  await settle();
  expect((w.find("restart") as HTMLButtonElement).disabled).toBe(false);
  w.companion.say(all["up_to_date"]!);
  await settle();
  expect(w.text("status-sentence")).toBe("Up to date");
});

test("what keeps it from starting is said in the reader's language, and that it ends", async () => {
  const prevented: Status = { ...all["buffer_problem"]!, reason: "newer", reasonCode: "no_start", reasonArgs: { cause: "newer" } };
  const w = await open(prevented, undefined, german);
  expect(w.text("problem")).toContain("Den Speicher hat eine neuere Version");
  await w.press("quit");
  expect(w.text("ending")).toContain("Endet nach");
  expect((w.find("restart") as HTMLButtonElement).disabled).toBe(true);
});

test("a page that comes while it ends says so", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.shell = { ending: "again" };
  const w = await open(all["up_to_date"]!, companion);
  expect(w.text("status-sentence")).toBe("Starting again after the batch in flight");
  expect(w.find("sync-now")).toBeNull();
});

test("while it ends, whoever asked for that, the window says so and offers nothing", async () => {
  const w = await open(all["up_to_date"]!);
  const scrolled = vi.spyOn(window, "scrollTo").mockImplementation(() => undefined);
  w.companion.ends?.("nothing");
  await settle();
  // Whoever pressed Quit is at the foot of the settings.
  expect(scrolled.mock.calls).toEqual([[0, 0]]);
  scrolled.mockRestore();
  expect(w.text("status-sentence")).toBe("Ending after the batch in flight");
  expect([w.find("sync-now"), w.find("next-attempt")]).toEqual([null, null]);
  expect(w.container.querySelector<HTMLElement>("#panel")?.inert).toBe(true);
  w.companion.ends?.("again");
  await settle();
  expect(w.text("status-sentence")).toBe("Starting again after the batch in flight");
});

test("what is here of others and of nobody is said under the head, also where all is well", async () => {
  const w = await open({ ...all["up_to_date"]!, unclaimed: 5, otherAccounts: all["other_account"]!.otherAccounts });
  expect(w.text("status-sentence")).toBe("Up to date");
  expect(w.text("status-others")).toBe("45 more records here are not sent with this account");
  w.companion.say(all["up_to_date"]!);
  await settle();
  expect(w.find("status-others")).toBeNull();
});

test("each waiting record says whose it is, and the list is there where only others' wait", async () => {
  const status = { ...all["up_to_date"]!, unclaimed: 1, otherAccounts: all["other_account"]!.otherAccounts };
  const companion = new FakeCompanion(status);
  const [own, others, elsewhere, nobodys] = waitingRecords(now, 4);
  companion.waiting = [
    { ...own!, account: "mia@example.org", own: true },
    { ...others!, account: "ben@example.org" },
    // The same address at another backend is another account.
    { ...elsewhere!, account: "mia@example.org" },
    nobodys!,
  ];
  const w = await open(status, companion);
  await w.press("waiting-show");
  const rows = Array.from(w.container.querySelectorAll("[data-testid=waiting-row]"));
  const whose = rows.map((row) => row.querySelector("[data-testid=waiting-whose]")?.textContent ?? null);
  expect(whose).toEqual([null, "For ben@example.org", "For mia@example.org at another backend", "Captured without an account"]);
  rows[1]?.querySelector<HTMLElement>("[data-testid=waiting-discard]")?.click();
  await settle();
  expect(w.text("discard-whose")).toBe("For ben@example.org");
});

test("who discards failed records is told whose else are among them", async () => {
  const accounts = ["mia@example.org", "ben@example.org", "mia@example.org"];
  const records = failedRecords(now, 3).map((record, i) => ({ ...record, account: accounts[i]!, own: i === 0 }));
  const w = await open(all["needs_attention"]!, new FakeCompanion(all["needs_attention"]!, records));
  await w.press("tab-failed");
  expect(Array.from(w.container.querySelectorAll("[data-testid=failed-whose]"), (e) => e.textContent)).toEqual([
    "For ben@example.org",
    "For mia@example.org at another backend",
  ]);
  await w.press("failed-more");
  await w.press("failed-discard-all");
  expect(w.text("discard-also-of")).toBe("Also those of ben@example.org, mia@example.org at another backend.");
});

test("signing in at another backend asks first where records wait for the one before", async () => {
  const w = await open(all["other_account"]!);
  const type = (testid: string, text: string) => ((w.find(testid) as HTMLInputElement).value = text);
  const fill = (backend: string) => {
    type("signin-email", "mia@example.org");
    type("signin-password", "a password");
    type("signin-backend", backend);
  };
  fill("https://elsewhere.example.org");
  await w.press("signin-submit");
  expect(w.asked("login")).toEqual([]);
  expect(w.text("unsent")).toContain("40 records wait for accounts at another backend");
  expect(w.find("unsent-export")).not.toBeNull();
  await w.press("confirm");
  expect(w.asked("login")).toMatchObject([[{ backend: "https://elsewhere.example.org" }]]);
});

test("signing in where the records wait for is not asked about, however the address is written", async () => {
  const w = await open(all["other_account"]!);
  (w.find("signin-email") as HTMLInputElement).value = "mia@example.org";
  (w.find("signin-password") as HTMLInputElement).value = "a password";
  (w.find("signin-backend") as HTMLInputElement).value = "https://sync.example.org/api/v1/";
  await w.press("signin-submit");
  expect(w.asked("login")).toHaveLength(1);
});

test("settings that keep it from starting are named", async () => {
  const companion = new FakeCompanion(null);
  const text = "config.toml: sync.interval = \"often\" is not accepted: 1m to 24h";
  companion.shell = { problem: { key: "sync.interval", value: "often", accepted: "1m to 24h", text } };
  companion.refusals.set("status", { code: "failed", text: "there is no agent to ask" });
  const w = await open(null, companion);
  expect(w.container.textContent).not.toContain("did not work");
  expect(w.text("problem-text")).toContain("often");
  await w.press("restart");
  expect(w.asked("restart")).toEqual([[]]);
  cleanup();
  companion.refusals.set("status", { code: "failed", text: "there is no agent to ask" });
  expect((await open(null, companion, german)).text("problem")).toContain("sync.interval: „often“ wird nicht angenommen");
});

test("settings are changed one at a time, and show what holds", async () => {
  const w = await open(all["up_to_date"]!);
  await w.press("tab-settings");
  await w.press("pause-on-battery");
  const choose = async (testid: string, value: string) => {
    const select = w.find(testid) as HTMLSelectElement;
    select.value = value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    await settle();
  };
  await choose("interval", "15m");
  await choose("language", "de");
  expect(w.asked("setSetting")).toEqual([["sync.pause_on_battery", true], ["sync.interval", "15m"], ["window.language", "de"]]);
  expect(w.session.language).toBe("de");
  w.companion.refusals.set("setSetting", { code: "configuration", text: "sync.interval: accepted is 1m to 24h" });
  await choose("interval", "1m");
  expect(w.text("sync-fault")).toContain("1m to 24h");
});

test("a setting that is changed elsewhere shows at once, and the language is the window's", async () => {
  const w = await open(all["up_to_date"]!);
  await w.press("tab-settings");
  expect((w.find("interval") as HTMLSelectElement).value).toBe("5m");
  w.companion.file.set("sync.interval", "15m");
  w.companion.file.set("window.language", "de");
  w.companion.settingsChanged?.();
  await settle();
  expect((w.find("interval") as HTMLSelectElement).value).toBe("15m");
  expect(w.session.language).toBe("de");
});

test("a backend's address is tried before it is used, and what is not delivered is said", async () => {
  const w = await open(all["waiting"]!);
  await w.press("tab-settings");
  const type = async (url: string) => {
    const field = w.find("backend-url") as HTMLInputElement;
    field.value = url;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
    await w.press("backend-test");
  };
  await type("https://bad.example");
  expect(w.find("backend-answer")?.dataset.ok).toBe("false");
  expect(w.asked("setSetting")).toEqual([]);
  await type("https://other.example");
  expect(w.text("unsent")).toContain("1,204 records have not been delivered");
  await w.press("unsent-export");
  expect(w.text("unsent-export-done")).toContain("12 records saved as heyho-records-2026-11-21.ndjson");
  await w.press("confirm");
  expect(w.asked("setSetting")).toEqual([["backend.url", "https://other.example"]]);
});

test("what waits is listed, searched, and deleted before it is sent", async () => {
  const companion = new FakeCompanion(all["waiting"]!);
  companion.waiting = waitingRecords(now, 120);
  const w = await open(all["waiting"]!, companion);
  await w.press("waiting-show");
  const rows = () => w.container.querySelectorAll("[data-testid=waiting-row]").length;
  expect(rows()).toBe(50);
  await w.press("waiting-more");
  expect(rows()).toBe(100);
  await w.press("waiting-discard");
  expect(w.asked("waitingDiscard")).toEqual([]);
  await w.press("confirm");
  expect(w.asked("waitingDiscard")).toEqual([[{ ids: [1] }]]);
  const search = w.find("waiting-search") as HTMLInputElement;
  search.value = "bowline";
  search.dispatchEvent(new Event("input", { bubbles: true }));
  await settle();
  expect(w.find("waiting")?.textContent).not.toContain("Weather");
});

test("failed records are chosen, also through to another, and dealt with together", async () => {
  const w = await open(all["needs_attention"]!, new FakeCompanion(all["needs_attention"]!, failedRecords(now, 5)));
  await w.press("tab-failed");
  const boxes = () => Array.from(w.container.querySelectorAll<HTMLInputElement>("[data-testid=failed-choose]"));
  boxes()[0]?.click();
  await settle();
  boxes()[2]?.dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
  await settle();
  expect(w.text("failed-chosen")).toContain("3 chosen");
  const written = clipboard();
  await w.press("chosen-copy");
  expect(written[0]?.match(/"number": \d/g)).toEqual(['"number": 1', '"number": 2', '"number": 3']);
  await w.press("chosen-keep");
  expect(w.asked("failedKeep")).toEqual([[{ ids: [1, 2, 3] }]]);
  expect(w.find("failed-chosen")).toBeNull();
});

test("records of nobody are claimed, another account's discarded, both only when confirmed", async () => {
  const status = { ...all["up_to_date"]!, unclaimed: 12, otherAccounts: all["other_account"]!.otherAccounts };
  const w = await open(status);
  await w.press("claim");
  expect(w.container.querySelector("dialog")?.textContent).toContain("mia@example.org");
  await w.press("confirm");
  expect(w.asked("claim")).toEqual([[]]);
  await w.press("discard-account");
  expect(w.container.querySelector("dialog")?.textContent).toContain("41 records were never delivered");
  await w.press("confirm");
  expect(w.asked("discardAccount")).toEqual([["2"]]);
});

test("an address that has to be confirmed: the code, and another one", async () => {
  const w = await open(all["signed_out"]!);
  w.companion.refusals.set("login", { code: "unverified", text: "Confirm the address first." });
  (w.find("signin-email") as HTMLInputElement).value = "mia@example.org";
  (w.find("signin-password") as HTMLInputElement).value = "long enough";
  // Typed in the form, and nowhere in the settings: the code is of this backend.
  (w.find("signin-backend") as HTMLInputElement).value = "https://other.example";
  await w.press("signin-submit");
  await w.press("verify-resend");
  (w.find("verify-code") as HTMLInputElement).value = "123456";
  await w.press("verify-submit");
  const there = "https://other.example";
  expect([w.asked("resendCode"), w.asked("verify")]).toEqual([[["mia@example.org", there]], [["mia@example.org", "123456", there]]]);
  expect(w.text("signin-said")).toContain("Confirmed");
  expect((w.find("signin-email") as HTMLInputElement).value).toBe("mia@example.org");
  expect((w.find("signin-backend") as HTMLInputElement).value).toBe(there);
});

test("what was saved of a damaged store is said until it is understood", async () => {
  const said = { code: "recovered", args: { saved: 48, expected: 50, damaged: 0 }, text: "" };
  const w = await open({ ...all["up_to_date"]!, also: [said] });
  expect(w.text("recovered")).toContain("48 of 50 records were saved.");
  await w.press("recovered-folder");
  await w.press("understood");
  expect([w.asked("openFolder"), w.asked("recoverySeen")]).toEqual([[["data"]], [[]]]);
  w.companion.say(all["up_to_date"]!);
  await settle();
  expect(w.find("recovered")).toBeNull();
});

test("a forgotten password: the address is asked for, then the code of the message and a new one", async () => {
  const w = await open(all["signed_out"]!);
  await w.press("signin-forgot");
  expect([w.find("signin-error")?.dataset.field, w.asked("forgotPassword")]).toEqual(["email", []]);
  (w.find("signin-email") as HTMLInputElement).value = "mia@example.org";
  (w.find("signin-backend") as HTMLInputElement).value = "https://other.example";
  await w.press("signin-forgot");
  const who = ["mia@example.org", "https://other.example"] as const;
  expect(w.asked("forgotPassword")).toEqual([who]);
  expect(w.text("verify-said")).toContain("If mia@example.org has an account there");
  await w.press("verify-resend");
  expect(w.asked("forgotPassword")).toEqual([who, who]);
  await w.press("verify-submit");
  expect(w.find("verify-error")?.dataset.field).toBe("code");
  (w.find("verify-code") as HTMLInputElement).value = " 123456 ";
  const password = w.find("reset-password") as HTMLInputElement;
  password.value = "short";
  await w.press("verify-submit");
  expect([w.find("verify-error")?.dataset.field, w.asked("setPassword")]).toEqual(["password", []]);
  password.value = "long enough";
  w.companion.refusals.set("setPassword", { code: "bad_data", text: "The code is wrong or has expired." });
  await w.press("verify-submit");
  expect(w.text("verify-error")).toContain("wrong or has expired");
  expect(password.value).toBe("");
  password.value = "long enough";
  await w.press("verify-submit");
  expect(w.asked("setPassword").at(-1)).toEqual([who[0], "123456", "long enough", who[1]]);
  expect(w.text("signin-said")).toContain("The new password is set");
  expect((w.find("signin-email") as HTMLInputElement).value).toBe(who[0]);
  expect(w.container.innerHTML).not.toContain("long enough");
});

test("each folder has its button, and one that cannot be opened says so", async () => {
  const w = await open(all["up_to_date"]!);
  await w.press("tab-settings");
  for (const folder of ["data", "settings", "logs"]) await w.press(`folder-${folder}`);
  expect(w.asked("openFolder")).toEqual([["data"], ["settings"], ["logs"]]);
  w.companion.refusals.set("openFolder", { code: "failed", text: "the folder cannot be opened" });
  await w.press("folder-logs");
  expect(w.container.textContent).toContain("the folder cannot be opened");
});

test("the diagnostics are copied as the agent says them", async () => {
  const written = clipboard();
  const w = await open(all["up_to_date"]!);
  await w.press("tab-settings");
  await w.press("diagnostics");
  expect([written, w.text("diagnostics-said")]).toEqual([["companion 0.1.0"], "Diagnostics copied"]);
});

test("what comes on the hour is of the hour that ended: a point's time is the end of its quarter", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.points = [
    { at: "2026-11-21T12:45:00Z", waiting: 9, sent: 1 },
    { at: "2026-11-21T13:00:00Z", waiting: 7, sent: 2 },
    { at: "2026-11-21T13:15:00Z", waiting: 6, sent: 4 },
    { at: "2026-11-21T14:00:00Z", waiting: 5, sent: 8 },
    { at: "2026-11-21T14:15:00Z", waiting: 3, sent: 16 },
  ];
  const w = await open(all["up_to_date"]!, companion);
  const rows = Array.from(w.find("day")?.querySelectorAll("tbody tr") ?? [], (row) => Array.from(row.children, (cell) => cell.textContent));
  expect(rows).toEqual([
    ["14:00", "16", "3"],
    ["13:00", "12", "5"],
    ["12:00", "3", "7"],
  ]);
});

test("forgetting a site says which browsers it does not reach, before and after, and what the backend answered", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.forgottenText = "What the backend has is still there. It does not answer. Not reached: Firefox.";
  const w = await open(all["up_to_date"]!, companion);
  await w.press("tab-settings");
  const site = w.find("forget-site") as HTMLInputElement;
  site.value = "shop.example";
  site.dispatchEvent(new Event("input", { bubbles: true }));
  await settle();
  await w.press("forget");
  expect(w.text("forget-closed")).toContain("Firefox");
  expect(w.text("forget-closed")).not.toContain("Chromium");
  await w.press("confirm");
  expect(w.asked("forget")).toEqual([["shop.example", true]]);
  expect(w.text("forgotten")).toContain("3 records deleted here");
  expect(w.text("forgotten-told")).toBe(companion.forgottenText);
});

test("in another language it is said in its words which browsers were not reached, as the agent found it", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  [companion.forgottenClosed, companion.forgottenSilent] = [["Zen"], ["Chromium"]];
  const w = await open(all["up_to_date"]!, companion, german);
  await w.press("tab-settings");
  const site = w.find("forget-site") as HTMLInputElement;
  site.value = "shop.example";
  site.dispatchEvent(new Event("input", { bubbles: true }));
  await settle();
  await w.press("forget");
  await w.press("confirm");
  const said = w.find("forgotten")?.parentElement?.textContent;
  expect(said).toContain(german.privacy.forgetClosed("Zen"));
  expect(said).toContain(german.privacy.forgetSilent("Chromium"));
});

test("what was never delivered is counted once: the failed ones of other accounts are in the number of all", async () => {
  const others = [{ ref: "2", email: "ben@example.org", backend: "https://sync.example.org", waiting: 40, failed: 2, failedKept: 0 }];
  const w = await open({ ...all["failed_and_down"]!, otherAccounts: others });
  await w.press("tab-settings");
  await w.press("erase");
  // 1,204 wait, 40 of another account, 5 failed of all.
  expect(w.container.querySelector("dialog")?.textContent).toContain("1,249 records were never delivered");
  expect(w.text("erase-browsers")).toContain("not handed over yet");
});

test("signing out promises to send what waits only, and names this account's failed ones apart", async () => {
  const others = [{ ref: "2", email: "ben@example.org", backend: "https://sync.example.org", waiting: 40, failed: 2, failedKept: 0 }];
  const w = await open({ ...all["failed_and_down"]!, otherAccounts: others });
  await w.press("tab-settings");
  await w.press("sign-out");
  expect(w.text("unsent")).toContain("1,204 records have not been delivered");
  expect(w.text("unsent-failed")).toContain("3 records failed");
  expect(w.find("unsent-export")).not.toBeNull();
});

test("signing out with failed records alone does not say that everything was delivered", async () => {
  const w = await open(all["needs_attention"]!);
  await w.press("tab-settings");
  await w.press("sign-out");
  const text = w.container.querySelector("dialog")?.textContent;
  expect(text).not.toContain("Everything was delivered");
  expect(w.text("unsent-failed")).toContain("5 records failed");
});

test("a chosen record that somebody else dealt with is chosen no more", async () => {
  const w = await open(all["needs_attention"]!, new FakeCompanion(all["needs_attention"]!, failedRecords(now, 5)));
  await w.press("tab-failed");
  const boxes = Array.from(w.container.querySelectorAll<HTMLInputElement>("[data-testid=failed-choose]"));
  for (const box of boxes.slice(0, 3)) box.click();
  await settle();
  expect(w.text("failed-chosen")).toContain("3 chosen");
  w.companion.failed = w.companion.failed.filter((record) => record.number !== 2);
  w.companion.say({ ...all["needs_attention"]!, failed: 4 });
  await settle();
  expect(w.text("failed-chosen")).toContain("2 chosen");
  await w.press("chosen-discard");
  await w.press("confirm");
  expect(w.asked("failedDiscard")).toEqual([[{ ids: [1, 3] }, null]]);
});

test("the last day: its sentence and its table say what the chart shows, the newest hour first", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.points = [
    { at: "2026-11-21T12:20:00Z", waiting: 40, sent: 0 },
    { at: "2026-11-21T13:10:00Z", waiting: 12, sent: 30 },
    { at: "2026-11-21T14:10:00Z", waiting: 0, sent: 12 },
  ];
  const w = await open(all["up_to_date"]!, companion);
  expect(w.text("day")).toContain("42 records sent; at most 40 waiting at the end of an hour.");
  const rows = Array.from(w.find("day")?.querySelectorAll("tbody tr") ?? [], (row) => Array.from(row.children, (cell) => cell.textContent));
  expect(rows).toEqual([
    ["14:00", "12", "0"],
    ["13:00", "30", "12"],
    ["12:00", "0", "40"],
  ]);
  expect(w.find("day")?.querySelector(".chart")?.getAttribute("aria-hidden")).toBe("true");
});

test("while nothing new can be taken, none is promised", async () => {
  const nothing = { ...all["up_to_date"]!, state: "buffer_problem" as const };
  const w = await open(nothing);
  expect(w.text("backlog")).toContain("Nothing waits.");
  expect(w.text("backlog")).not.toContain("New records appear");
});
