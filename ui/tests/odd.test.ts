/** What somebody else wrote or did: odd browsers, rules by hand, a setting changed elsewhere, a list that changes. */
import { expect, test } from "vitest";
import type { FailedRecord } from "../src/generated/FailedRecord";
import type { FaultCode } from "../src/generated/FaultCode";
import type { Rule } from "../src/generated/Rule";
import type { Status } from "../src/generated/Status";
import { Arrived } from "../src/lib/arrived";
import { FakeCompanion } from "./fake";
import { english, german, now, open, settle } from "./opened";
import { browserRows, failedRecords, runs, scenes } from "./scenes";

const all = scenes(now);

test("a password goes to the backend that is set now, whoever set it", async () => {
  const w = await open(all["waiting"]!);
  const backend = "https://b.example.org";
  w.companion.file.set("backend.url", backend);
  w.companion.settingsChanged?.();
  await settle();
  w.companion.say({ ...all["signed_out"]!, account: null });
  await settle();
  expect((w.find("signin-backend") as HTMLInputElement).value).toBe(backend);
  // A session that is over may be of another than the one that is set.
  w.companion.say(all["session_expired"]!);
  await settle();
  expect((w.find("signin-backend") as HTMLInputElement).value).toBe(backend);
});

test("the default that stands in for a mistaken address is not offered for a password", async () => {
  const w = await open(all["signed_out"]!);
  w.companion.file.set("backend.url", "https://b.example.org");
  w.companion.settingsChanged?.();
  await settle();
  w.companion.file.delete("backend.url");
  w.companion.problem = { key: "backend.url", value: "soon", accepted: "an address", text: "config.toml" };
  w.companion.settingsChanged?.();
  await settle();
  expect((w.find("signin-backend") as HTMLInputElement).value).toBe("https://b.example.org");
});

test("signing in elsewhere than where records wait is asked about, also after the setting was changed", async () => {
  const w = await open(all["other_account"]!);
  w.companion.file.set("backend.url", "https://sync.example.org");
  w.companion.settingsChanged?.();
  await settle();
  const put = (testid: string, text: string) => ((w.find(testid) as HTMLInputElement).value = text);
  put("signin-email", "mia@example.org");
  put("signin-password", "a password");
  put("signin-backend", "http://127.0.0.1:3001");
  await w.press("signin-submit");
  expect([w.asked("login"), w.find("unsent") !== null]).toEqual([[], true]);
});

test("two profiles of an unknown browser, and one that is called like another, are all shown", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  const [first] = browserRows(now);
  companion.rows = [first!, first!, { ...first!, profiles: [...first!.profiles, ...first!.profiles] }];
  const w = await open(all["up_to_date"]!, companion);
  await w.press("tab-browsers");
  expect([w.count("browser-row"), w.find("undrawn")]).toEqual([3, null]);
});

const bank: Rule = { id: "bank", match: "host", pattern: "*.bank.example", action: "drop" };

test("two rules of one id are both shown, and one is removed alone", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  const other = { ...bank, pattern: "*.other.example" };
  companion.rules = [bank, other, bank];
  const w = await open(all["up_to_date"]!, companion);
  await w.press("tab-settings");
  expect([w.count("rule"), w.find("undrawn")]).toEqual([3, null]);
  await w.press("rule-remove");
  expect([w.asked("removeRule"), w.count("rule")]).toEqual([[[bank]], 2]);
});

test("a rule is added to those that are there, of which the window may not know all", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  const w = await open(all["up_to_date"]!, companion);
  await w.press("tab-settings");
  companion.rules = [bank];
  await w.type("rule-pattern", " x.example ");
  await w.press("rule-add");
  expect(w.asked("addRule")).toMatchObject([[{ match: "host", pattern: "x.example", action: "drop" }]]);
  expect([w.count("rule"), (w.find("rule-pattern") as HTMLInputElement).value]).toEqual([2, ""]);
});

test("one mistaken rule hides none of the others, and what it does is said", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.rules = [bank];
  companion.problem = { key: "privacy.rules", value: "action = drp", accepted: "drop or strip", text: "config.toml: drp" };
  const w = await open(all["up_to_date"]!, companion);
  await w.press("tab-settings");
  expect([w.count("rule"), w.text("rule-mistaken")]).toEqual([1, english.privacy.mistaken]);
});

test("a rule that was changed meanwhile stays, and the rules are shown as they are now", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.rules = [bank];
  const w = await open(all["up_to_date"]!, companion);
  await w.press("tab-settings");
  companion.rules = [{ ...bank, action: "strip" }];
  companion.refusals.set("removeRule", { code: "configuration", text: "the rule for *.bank.example is another one by now" });
  await w.press("rule-remove");
  expect(w.text("rule-fault")).toContain("another one by now");
  expect(w.text("rule")).toContain("without query");
});

test("a view that cannot be drawn says so, and the others are there", async () => {
  const [run] = runs(now);
  const w = await open(all["up_to_date"]!, new FakeCompanion(all["up_to_date"]!, [], [{ ...run!, startedAt: "never" }]));
  await w.press("tab-history");
  expect(w.text("undrawn")).toContain("cannot be shown");
  expect(w.text("status-sentence")).toBe("Up to date");
  await w.press("tab-browsers");
  expect(w.find("undrawn")).toBeNull();
  await w.press("tab-history");
  w.companion.past = runs(now);
  await w.press("draw-again");
  expect([w.find("undrawn"), w.count("history-row")]).toEqual([null, 5]);
});

test("held back by the network or the power, it can be sent all the same, or paused", async () => {
  for (const code of ["metered", "on_battery"] as const) {
    const held: Status = { ...all["paused_open"]!, reason: "Sync now sends all the same.", reasonCode: code };
    const w = await open(held);
    expect(w.find("resume")).toBeNull();
    expect(w.text("next-attempt")).toBe(english.head.nextAttemptHeld[code]);
    await w.press("pause");
    await w.press("pause-hour");
    await w.press("sync-now");
    expect([w.asked("sync"), w.asked("pause")]).toEqual([[[]], [[3600]]]);
    w.companion.say(all["paused_open"]!);
    await settle();
    expect([w.find("sync-now"), w.text("next-attempt")]).toEqual([null, "after the pause"]);
  }
});

test("what fails while the question stands is not discarded with the rest", async () => {
  const companion = new FakeCompanion(all["needs_attention"]!, failedRecords(now, 3));
  companion.asOf = "2026-11-21T14:00:00Z";
  const w = await open(all["needs_attention"]!, companion);
  await w.press("tab-failed");
  await w.press("failed-more");
  await w.press("failed-discard-all");
  companion.failed = failedRecords(now, 5);
  companion.asOf = "2026-11-21T14:20:00Z";
  companion.say({ ...all["needs_attention"]!, failed: 5 });
  await settle();
  expect(w.container.querySelector("dialog")?.textContent).toContain("Discard 3 records?");
  await w.press("confirm");
  expect(w.asked("failedDiscard")).toEqual([["all", "2026-11-21T14:00:00Z"]]);
});

const captured = (record: FailedRecord): FailedRecord => ({ ...record, reason: { code: "rejected_at_capture", rule: "invalid_url", message: "no" } });

test("what can never be sent is not offered to be retried, and is said where it is among others", async () => {
  const [one, ...others] = failedRecords(now, 3);
  const companion = new FakeCompanion(all["needs_attention"]!, [captured(one!), ...others.map((r) => ({ ...r, reason: others[0]!.reason }))]);
  const w = await open(all["needs_attention"]!, companion);
  await w.press("tab-failed");
  w.container.querySelector<HTMLElement>('[data-row="0"]')?.click();
  await settle();
  expect([w.find("failed-retry"), w.text("failed-not-again")]).toEqual([null, english.failed.notAgain]);
  companion.failedRetry = (which) => {
    companion.asked.push(["failedRetry", which]);
    companion.failed = companion.failed.slice(0, 1);
    return Promise.resolve({ count: 2 });
  };
  await w.press("failed-more");
  await w.press("failed-retry-all");
  expect(w.container.textContent).toContain("2 records wait again; 1 cannot be sent again: not acceptable as captured");
});

test("a batch that drains has the list read as far as somebody looks, one reading after the other", async () => {
  const companion = new FakeCompanion(all["needs_attention"]!, failedRecords(now, 1_000));
  const w = await open(all["needs_attention"]!, companion);
  await w.press("tab-failed");
  const key = async (name: string) => {
    document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
    for (let i = 0; i < 10; i += 1) await settle();
  };
  w.container.querySelector<HTMLElement>('[data-row="0"]')?.focus();
  await key("End");
  await key("Home");
  const before = w.asked("failedList").length;
  for (let failed = 1_001; failed <= 1_020; failed += 1) {
    companion.say({ ...all["needs_attention"]!, failed });
    await Promise.resolve();
  }
  for (let i = 0; i < 10; i += 1) await settle();
  const read = w.asked("failedList").slice(before);
  // All 1,000 were read before; the row with the focus is the first one.
  expect(read.length).toBeLessThanOrEqual(20);
  expect(read.every(([after]) => after === 0)).toBe(true);
});

test("on the first evening it is said why there is no chart", async () => {
  const companion = new FakeCompanion(all["up_to_date"]!);
  companion.points = [{ at: "2026-11-21T14:15:00Z", waiting: 3, sent: 16 }];
  const w = await open(all["up_to_date"]!, companion);
  expect([w.find("day"), w.text("day-soon")]).toEqual([null, english.day.soon]);
});

test("what arrived does not grow less when it is delivered", async () => {
  const companion = new FakeCompanion(all["signed_out"]!);
  companion.shell = { firstRun: true };
  const w = await open(all["signed_out"]!, companion);
  await w.press("first-agree");
  await w.press("first-next");
  await w.press("first-skip");
  const seen = async (status: Status) => {
    companion.say(status);
    await settle();
    return [w.text("first-count"), w.text("first-sent") ?? null];
  };
  const signedIn = { ...all["syncing"]!, lastSync: null };
  const backlog = { ...signedIn.backlog, pageVisits: 87, tabAggregates: 0 };
  const after = { at: "2026-11-21T14:30:05Z", outcome: "emptied", sent: 87, failed: 0, why: null };
  expect(await seen({ ...signedIn, backlog, progress: { done: 0, total: 87, etaSeconds: 1 } })).toEqual(["87", "87 of them wait to be sent."]);
  const half = { ...signedIn, backlog: { ...backlog, pageVisits: 40 }, progress: { done: 47, total: 87, etaSeconds: 1 } };
  expect(await seen(half)).toEqual(["87", "40 of them wait to be sent."]);
  // The run is in the history, and still shown under way.
  expect(await seen({ ...half, backlog: { ...backlog, pageVisits: 0 }, progress: { done: 87, total: 87, etaSeconds: 0 }, lastSync: after })).toEqual(["87", null]);
  expect(await seen({ ...all["up_to_date"]!, lastSync: after })).toEqual(["87", "All that arrived is delivered."]);
  expect(await seen({ ...all["waiting"]!, backlog: { ...backlog, pageVisits: 3 }, lastSync: after })).toEqual(["90", "3 of them wait to be sent."]);
});

test("runs of before are not counted as arrived, those that follow each other each once", () => {
  const of = (waiting: number, at: string, sent: number, done?: number): Status => ({
    ...all[done === undefined ? "waiting" : "syncing"]!,
    backlog: { ...all["waiting"]!.backlog, pageVisits: waiting, tabAggregates: 0 },
    lastSync: { at, outcome: "emptied", sent, failed: 0, why: null },
    progress: done === undefined ? null : { done, total: done + waiting, etaSeconds: null },
  });
  const arrived = new Arrived();
  expect([of(5, "1", 900), of(2, "1", 900, 3), of(0, "2", 5, 5), of(4, "2", 5, 0), of(0, "3", 4)].map((s) => arrived.with(s))).toEqual([5, 5, 5, 9, 9]);
});

test("each fault is said in words that hold for all it stands for", async () => {
  const says = async (code: FaultCode, text: string, m = english) => {
    const w = await open(all["waiting"]!, undefined, m);
    w.companion.refusals.set("sync", { code, text });
    await w.press("sync-now");
    return w.text("fault");
  };
  const mail = "This backend sends no e-mail; ask who runs it.";
  for (const m of [english, german]) {
    expect(await says("not_offered", mail, m)).toContain(mail);
    expect(await says("not_found", "there is no failed record 5", m)).toContain("there is no failed record 5");
  }
  expect(await says("busy", "")).toMatch(/store on this computer is busy.*try it again/);
  // Of what was refused nothing is tried again by itself, and no backend need have asked.
  expect(await says("try_later", "")).not.toMatch(/backend|by itself/);
});
