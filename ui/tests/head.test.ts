import { expect, test } from "vitest";
import { catalogues } from "../src/messages";
import { Format } from "../src/lib/format";
import type { Status } from "../src/generated/Status";
import { gone, head, nextAttempt } from "../src/lib/head";
import { scenes } from "./scenes";

const now = new Date("2026-11-21T14:30:00Z");
const en = catalogues.en(new Format("en-GB"));
const all = scenes(now);
const of = (scene: string) => head(all[scene], now, en);

test("each state has its sentence, what follows and its one primary action", () => {
  const seen = Object.keys(all).map((scene) => {
    const { sentence, detail, tone, primary } = of(scene);
    // Versions of Intl's data differ in the plural of "sec".
    return [scene, sentence, detail?.replace("secs", "sec") ?? null, tone, primary];
  });
  expect(seen).toEqual([
    ["up_to_date", "Up to date", null, "good", "sync"],
    ["waiting", "1,204 records waiting", "Next sync at 14:32", "calm", "sync"],
    ["syncing", "Sending 1,200 of 48,310", "About 40 sec left", "busy", "progress"],
    ["syncing_unknown", "Checking with the backend", null, "busy", "progress"],
    ["retrying", "Could not deliver", "1,204 records are safe here; next try in 40 sec", "wait", "sync"],
    ["needs_attention", "3 records need you", null, "alert", "sync"],
    ["failed_and_down", "3 records need you", "1,204 records are safe here", "alert", "sync"],
    ["needs_setting", "Sync needs your attention", "1,204 records are safe here", "alert", "sync"],
    ["paused", "Paused until 15:30", "1,204 records are safe here", "calm", "resume"],
    ["paused_open", "Paused", "1,204 records are safe here", "calm", "resume"],
    ["session_expired", "Session expired. Sign in again", "1,204 records are safe here", "alert", "sign-in"],
    ["signed_out", "Sign in to start", "87 records are already safe here", "calm", "none"],
    ["other_account", "Sign in to start", "52 records are already safe here", "calm", "none"],
    ["buffer_problem", "The store on this computer has a problem", null, "alert", "sync"],
    ["full_signed_out", "The store on this computer has a problem", null, "alert", "sign-in"],
    ["unreadable", "The store on this computer has a problem", null, "alert", "sync"],
    ["failed_of_another", "1 failed record of grace@example.org is still here", null, "alert", "sync"],
  ]);
});

test("green is for up to date alone", () => {
  const green = Object.entries(all).filter(([scene]) => of(scene).tone === "good");
  expect(green.map(([, status]) => status.state)).toEqual(["up_to_date"]);
});

test("before the first status and without an agent it says so, and offers nothing", () => {
  expect(head(undefined, now, en)).toMatchObject({ state: "connecting", detail: null, primary: "none" });
  expect(gone(en)).toMatchObject({ state: "disconnected", tone: "alert", primary: "none" });
});

test("while the companion takes its place again, nobody is told to start it", () => {
  const again = head(null, now, en);
  expect(again).toMatchObject({ state: "connecting", tone: "calm", primary: "none", detail: en.head.startingAgain });
  expect(again.detail).not.toMatch(/Start the companion/);
});

const said = (code: string) => ({ code, args: {}, text: code });
const full = (...also: string[]) => ({ ...all["buffer_problem"]!, reason: "full", reasonCode: "buffer_full", also: also.map(said) });

test("a full store is emptied by sending: whatever keeps that from beginning is the one button", () => {
  const primary = (...also: string[]) => [head(full(...also), now, en).primary, nextAttempt(full(...also), now, en).text];
  expect(primary("signed_out")).toEqual(["sign-in", "after signing in"]);
  expect(primary("session_expired")).toEqual(["sign-in", "after signing in"]);
  expect(primary("paused")).toEqual(["resume", "after the pause"]);
  expect(primary()[0]).toBe("sync");
  // What the head's sentence does not say is said under it.
  expect(head(full("signed_out"), now, en).also).toEqual(["signed_out"]);
  const de = head(full("signed_out"), now, catalogues.de(new Format("de")));
  expect([de.reason, ...de.also].join(" ")).toMatch(/ist voll.*Niemand ist angemeldet/);
});

test("failed records of another account need nobody who is here, and are named", () => {
  const other = (failed: number, failedKept = 0) => ({ ref: "2", email: "grace@example.org", backend: "https://b.example", waiting: 0, failed, failedKept });
  const says = (failed: number, others: Status["otherAccounts"], m = en) =>
    head({ ...all["needs_attention"]!, failed, failedKept: 0, otherAccounts: others }, now, m).sentence;
  expect(says(1, [other(1)])).toBe("1 failed record of grace@example.org is still here");
  expect(says(3, [other(3)], catalogues.de(new Format("de")))).toBe("3 fehlgeschlagene Einträge von grace@example.org liegen noch hier");
  expect(says(3, [other(2)])).toBe("1 record needs you");
  expect(says(3, [other(3, 3)])).toBe("3 records need you");
});

test("of a store that cannot be asked no time is said", () => {
  const broken = { ...all["buffer_problem"]!, numbersUnknown: true, nextAttemptAt: null };
  expect(nextAttempt(broken, now, en).text).toBe("not known");
});

test("the reason is the agent's own, and translated by its word where the reader has another language", () => {
  const de = catalogues.de(new Format("de"));
  expect(of("retrying").reason).toBe("The backend does not answer: connection refused");
  expect(head(all["retrying"], now, de).reason).toBe("Der Server antwortet nicht, oder die Verbindung kam nicht zustande.");
  expect(head(all["needs_setting"], now, de).reason).toBe("Der Server lässt dieses Konto keine Einträge senden (403).");
  const later = { ...all["retrying"]!, reasonCode: "word_of_a_later_agent" };
  expect(head(later, now, de).reason).toBe("The backend does not answer: connection refused");
});

test("failed records do not hide that the backend is down", () => {
  expect(of("needs_attention").reason).toBeNull();
  expect(of("failed_and_down").reason).toBe("The backend does not answer: connection refused");
});

test("a damaged store that was put in order is said apart, in the reader's language, without a path", () => {
  const said = { code: "recovered", args: { saved: 48, expected: 50, damaged: 1 }, text: "in /home/mia" };
  const status = { ...all["up_to_date"]!, reason: said.text, reasonCode: said.code, reasonArgs: said.args };
  const { reason, recovered } = head(status, now, en);
  expect([reason, recovered]).toEqual([null, expect.stringMatching(/^48 of 50 records were saved\. 1 of them is no longer/)]);
  const beside = { ...all["retrying"]!, also: [said] };
  const de = head(beside, now, catalogues.de(new Format("de")));
  expect(de.also).toEqual([]);
  expect(de.recovered).toMatch(/^48 von 50 Einträgen sind gerettet\. 1 davon ist nicht mehr/);
  expect(head({ ...beside, also: [{ ...said, args: { saved: 1 } }] }, now, en).recovered).toMatch(/^1 record was saved\. How many there were is not known\. The/);
});

test("nobody is told that nothing is lost while a store that was lost is spoken of", () => {
  const said = { code: "recovered", args: { saved: 0, damaged: 0 }, text: "" };
  const nothing = { ...all["signed_out"]!, unclaimed: 0 };
  expect(head(nothing, now, en).detail).toContain("nothing is lost");
  const damaged = head({ ...nothing, also: [said] }, now, en);
  expect(damaged.detail).toBeNull();
  expect(damaged.recovered).toMatch(/^0 records were saved\. How many there were is not known\./);
});

test("one record is one record", () => {
  const one = { ...all["waiting"]!, backlog: { ...all["waiting"]!.backlog, pageVisits: 1, tabAggregates: 0 } };
  expect(head(one, now, en).sentence).toBe("1 record waiting");
});

test("nothing waiting without a recent confirmation is not called up to date", () => {
  const stale = { ...all["up_to_date"]!, state: "waiting" as const };
  expect(head(stale, now, en)).toMatchObject({ sentence: "Nothing waiting, not confirmed lately", tone: "calm" });
});

test("a next attempt that is overdue is due now, never in the past", () => {
  const due = { ...all["retrying"]!, nextAttemptAt: "2026-11-21T14:29:50Z" };
  expect(nextAttempt(due, now, en).text).toBe("due now");
  expect(head(due, now, en).detail).toBe("1,204 records are safe here; next try now");
});

test("where no attempt is planned it says what it waits for", () => {
  const text = (scene: string) => nextAttempt(all[scene]!, now, en).text;
  expect(["syncing", "paused", "signed_out", "session_expired"].map(text)).toEqual([
    "running now",
    "after the pause",
    "after signing in",
    "after signing in",
  ]);
});
