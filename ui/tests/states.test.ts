/** Pairs of things that are true at once, and what is not known: the window never says more than it knows. */
import { expect, test } from "vitest";
import type { FailedRecord } from "../src/generated/FailedRecord";
import type { Rule } from "../src/generated/Rule";
import type { Status } from "../src/generated/Status";
import { brief, why } from "../src/lib/why";
import { FakeCompanion } from "./fake";
import { english, german, now, open, settle } from "./opened";
import { browserRows, failedRecords, runs, scenes, waitingRecords } from "./scenes";

const all = scenes(now);
const said = (code: string) => ({ code, args: {}, text: code });
const full: Status = { ...all["buffer_problem"]!, reason: "The buffer is full.", reasonCode: "buffer_full" };

test("with a full store and nobody signed in, the way in is there, and everything counts as kept", async () => {
  const w = await open(all["full_signed_out"]!);
  expect(w.find("signin-email")).not.toBeNull();
  expect(w.find("sync-now")).toBeNull();
  expect([w.text("backlog-total"), w.find("backlog-visits")]).toEqual(["2,604", null]);
  await w.press("tab-settings");
  await w.press("settings-sign-in");
  expect(w.find("signin-email")).not.toBeNull();
  await w.press("tab-browsers");
  await w.press("go-sign-in");
  expect(w.find("signin-password")).not.toBeNull();
});

test("with a full store and a session that is over, one signs in again", async () => {
  const w = await open({ ...full, also: [said("session_expired")] });
  expect([w.find("signin-email") !== null, w.find("go-sign-in") !== null, w.find("sync-now")]).toEqual([true, true, null]);
});

test("with a full store and a pause, the pause can be ended", async () => {
  const w = await open({ ...full, also: [said("paused")] });
  expect(w.find("sync-now")).toBeNull();
  await w.press("resume");
  expect(w.asked("resume")).toEqual([[]]);
});

test("signed out, what is here is one number, and it is not said that nothing waits", async () => {
  const w = await open(all["signed_out"]!);
  expect([w.text("backlog-total"), w.find("backlog-bytes")]).toEqual(["87", null]);
  expect(w.text("backlog")).toContain("kept here until you sign in");
  expect(w.text("backlog")).not.toContain("Nothing is waiting");
  w.companion.say({ ...all["signed_out"]!, unclaimed: 0 });
  await settle();
  expect(w.text("backlog")).toContain(english.backlog.empty);
  await w.press("tab-history");
  expect(w.text("history-signed-out")).toContain("Sign in to see");
  w.companion.past = runs(now);
  w.companion.say(all["up_to_date"]!);
  await settle();
  expect(w.count("history-row")).toBe(5);
});

/** As `Status::broken` says it (crates/records). */
const unknown: Status = all["unreadable"]!;

test("a store that cannot be read is not shown as an empty one", async () => {
  for (const m of [english, german]) {
    const w = await open(unknown, undefined, m);
    expect(w.text("backlog")).toContain(m.backlog.unknown);
    expect([w.find("backlog-total"), w.text("last-sync"), w.text("next-attempt")]).toEqual([null, m.notKnown, m.notKnown]);
    await w.press("tab-settings");
    expect([w.text("account-unknown"), w.find("settings-sign-in")]).toEqual([m.settings.accountUnknown, null]);
    await w.press("erase");
    expect(w.text("erase-text")).toBe(m.data.eraseUnknown);
  }
});

test("whether it is the first run is not decided by a store that cannot be read", async () => {
  const companion = new FakeCompanion(unknown);
  companion.shell = { firstRun: true };
  const w = await open(unknown, companion);
  expect([w.find("first-run"), w.find("status-head") !== null]).toEqual([null, true]);
  companion.say({ ...all["signed_out"]!, account: null });
  await settle();
  expect(w.find("first-run")).not.toBeNull();
});

test("while the companion takes its place again, no account is said to be missing", async () => {
  const w = await open(all["up_to_date"]!);
  await w.press("tab-settings");
  w.companion.say(null);
  await settle();
  expect([w.find("account-email"), w.find("settings-sign-in"), w.find("account-unknown") !== null]).toEqual([null, null, true]);
  expect(w.text("status-detail")).toBe(english.head.startingAgain);
});

test("of a file that cannot be read no setting is shown as if it held", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.problem = { key: null, value: null, accepted: null, text: "config.toml is not valid TOML: line 3" };
  const w = await open(all["up_to_date"]!, companion);
  await w.press("tab-settings");
  expect(w.text("problem-text")).toContain("line 3");
  expect(["interval", "backend-url", "rule-form", "appearance"].map((part) => w.find(part))).toEqual([null, null, null, null]);
  // What does not stand in the file goes on.
  expect([w.text("account-email"), w.find("sign-out") !== null, w.find("erase") !== null]).toEqual(["mia@example.org", true, true]);
});

test("that the rules cannot be read is said beside them, whatever else is mistaken first", async () => {
  const status = { ...all["needs_attention"]!, failed: 0, failedKept: 0, reason: "mend it", reasonCode: "rules_mistaken" };
  const companion = new FakeCompanion(status);
  companion.problem = { key: "sync.interval", value: "often", accepted: "a duration", text: "config.toml: often" };
  const w = await open(status, companion);
  await w.press("tab-settings");
  expect(w.text("rule-mistaken")).toBe(english.privacy.mistaken);
});

test("a mistake that comes before it may have taken the address with it: no password goes to the default", async () => {
  const w = await open(all["signed_out"]!);
  const heard = async (url: string | null, key: string | null) => {
    if (url === null) w.companion.file.delete("backend.url");
    else w.companion.file.set("backend.url", url);
    w.companion.problem = key === null ? null : { key, value: "yes", accepted: "true or false", text: "config.toml" };
    w.companion.settingsChanged?.();
    await settle();
    return (w.find("signin-backend") as HTMLInputElement).value;
  };
  const b = "https://b.example.org";
  expect(await heard(b, null)).toBe(b);
  for (const key of ["backend.allow_http", "backend.url", "backend", "sync"]) expect(await heard(null, key), key).toBe(b);
  // An address that is not the default was read, and a mistake behind it has not touched it.
  expect(await heard("https://c.example.org", "sync")).toBe("https://c.example.org");
  expect(await heard(null, "sync.interval")).toBe("http://127.0.0.1:3001");
  expect(await heard(b, null)).toBe(b);
  expect(await heard(null, "privacy.rules")).toBe("http://127.0.0.1:3001");
});

const bank: Rule = { id: "bank", match: "host", pattern: "*.bank.example", action: "drop" };

test("a rule for one name says that it is for that alone, and offers all of the site", async () => {
  const w = await open(all["up_to_date"]!);
  await w.press("tab-settings");
  for (const [typed, other, under] of [
    ["bank.example", "www.bank.example", "*.bank.example"],
    ["www.bank.example", "bank.example", "*.bank.example"],
  ] as const) {
    await w.type("rule-pattern", typed);
    expect(w.text("rule-alone")).toBe(english.privacy.alone(typed, other));
    await w.press("rule-under");
    expect([(w.find("rule-pattern") as HTMLInputElement).value, w.find("rule-alone")]).toEqual([under, null]);
  }
  for (const typed of ["localhost", "127.0.0.1", "b*.example", "https://bank.example/"]) {
    await w.type("rule-pattern", typed);
    expect(w.find("rule-alone"), typed).toBeNull();
  }
});

test("a rule that can match nothing is refused under its field, in the reader's language", async () => {
  const w = await open(all["up_to_date"]!, undefined, german);
  await w.press("tab-settings");
  w.companion.refusals.set("addRule", { code: "bad_data", text: "in English" });
  await w.type("rule-pattern", "https://www.bank.example/");
  await w.press("rule-add");
  const field = w.find("rule-pattern") as HTMLInputElement;
  expect([w.text("rule-fault"), field.getAttribute("aria-invalid"), field.value]).toEqual([german.privacy.refused.host, "true", "https://www.bank.example/"]);
  await w.type("rule-pattern", "*.bank.example");
  expect([field.getAttribute("aria-invalid"), w.container.textContent?.includes(german.privacy.refused.host)]).toEqual([null, false]);
});

const focused = () => (document.activeElement as HTMLElement | null)?.dataset;

test("the focus goes on to the next row when the row that had it is gone", async () => {
  const status = { ...all["needs_attention"]!, unclaimed: 2 };
  const companion = new FakeCompanion(status, failedRecords(now, 2));
  companion.rules = [bank, { ...bank, id: "other" }];
  companion.waiting = waitingRecords(now, 2);
  const w = await open(status, companion);
  document.body.append(w.container);
  const away = async (testid: string, asked = true) => {
    w.find(testid)?.focus();
    await w.press(testid);
    if (asked) await w.press("confirm");
    for (let i = 0; i < 5; i += 1) await settle();
  };
  await w.press("tab-failed");
  for (const left of [1, 0]) {
    w.container.querySelector<HTMLElement>('[data-row="0"]')?.click();
    await settle();
    await away("failed-discard");
    expect([companion.failed.length, focused()?.["row"] ?? focused()?.["testid"]]).toEqual([left, left > 0 ? "0" : "failed-title"]);
  }
  await w.press("tab-overview");
  await w.press("waiting-show");
  for (const next of ["waiting-discard", "waiting-search"]) {
    await away("waiting-discard");
    expect(focused()?.["testid"]).toBe(next);
  }
  await w.press("tab-settings");
  for (const next of ["rule-remove", "rule-pattern"]) {
    await away("rule-remove", false);
    expect(focused()?.["testid"]).toBe(next);
  }
  companion.rows = browserRows(now).map((row) => ({ ...row, canRegister: row.browser === "firefox" }));
  await w.press("tab-browsers");
  await away("browser-register", false);
  expect(document.activeElement?.textContent).toBe(english.browsers.title);
});

test("where more was found than was read, that is said", async () => {
  const companion = new FakeCompanion(all["waiting"]!);
  companion.waiting = waitingRecords(now, 240).map((record) => ({ ...record, title: "Tides" }));
  const w = await open(all["waiting"]!, companion);
  await w.press("waiting-show");
  await w.type("waiting-search", "Tides");
  expect(w.text("waiting")).toContain("the first 50 found, oldest first");
  companion.waiting = companion.waiting.slice(0, 30);
  await w.type("waiting-search", "Tide");
  expect(w.text("waiting")).toContain("30 found, oldest first");
});

test("a start that cannot be drawn says so, and promises no syncing", async () => {
  const companion = new FakeCompanion(null);
  // No text: what a later version may say otherwise.
  companion.shell = { problem: { key: "sync.interval", value: "often", accepted: null, get text(): string { throw new Error("broken"); } } };
  const w = await open(null, companion);
  expect(w.text("undrawn")).toContain("cannot be shown");
  expect(w.text("undrawn")).not.toContain("syncing");
});

test("signing out says what was delivered of this account alone", async () => {
  const w = await open({ ...all["up_to_date"]!, unclaimed: 5 });
  await w.press("tab-settings");
  await w.press("sign-out");
  expect(w.container.querySelector("dialog")?.textContent).toContain("Everything of this account was delivered.");
});

test("in German no English stands beside a damaged record", () => {
  const record: FailedRecord = { ...failedRecords(now, 1)[0]!, reason: { code: "damaged", message: "its checksum does not match" } };
  for (const say of [why, brief]) {
    expect(say(record.reason, german)).not.toContain("checksum");
    expect(say(record.reason, english).toLowerCase()).toContain("its checksum does not match");
  }
});
