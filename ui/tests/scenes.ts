/**
 * Status objects as the agent says them, one for each sentence of the head. Times are relative to `now`, so that
 * the same scene serves a test with a fixed clock and a screenshot taken today.
 */
import type { BrowserRow } from "../src/generated/BrowserRow";
import type { Delivered } from "../src/generated/Delivered";
import type { FailedRecord } from "../src/generated/FailedRecord";
import type { Run } from "../src/generated/Run";
import type { State } from "../src/generated/State";
import type { Status } from "../src/generated/Status";
import type { Timeline } from "../src/generated/Timeline";
import type { WaitingRecord } from "../src/generated/WaitingRecord";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

export type Scenes = Record<string, Status>;

export function scenes(now: Date): Scenes {
  const at = (ms: number) => new Date(now.getTime() + ms).toISOString();
  const account = { ref: "1", email: "mia@example.org", backend: "https://sync.example.org" };
  const none = { pageVisits: 0, tabAggregates: 0, bytes: 0, held: 0, oldestAt: null };
  const some = { pageVisits: 980, tabAggregates: 224, bytes: 1_480_220, held: 0, oldestAt: at(-3 * HOUR) };
  const browsers = [
    { name: "Chromium", profileId: "9c1f2a", lastSeenAt: at(-3 * SECOND), connected: true },
    { name: "Firefox", profileId: "work", lastSeenAt: at(-26 * HOUR), connected: false },
  ];
  const base = (state: State): Status => ({
    state,
    reason: null,
    reasonCode: null,
    reasonArgs: {},
    also: [],
    metrics: null,
    shortSession: false,
    numbersUnknown: false,
    backlog: none,
    failed: 0,
    failedKept: 0,
    lastSync: { at: at(-2 * MINUTE), outcome: "emptied", sent: 37, failed: 0, why: null },
    lastConfirmedAt: at(-2 * MINUTE - 5 * SECOND),
    nextAttemptAt: at(3 * MINUTE - 5 * SECOND),
    progress: null,
    account,
    agentRunning: true,
    unclaimed: 0,
    otherAccounts: [],
    browsers,
    pausedUntil: null,
  });
  return {
    up_to_date: base("up_to_date"),
    waiting: { ...base("waiting"), backlog: some },
    syncing: {
      ...base("syncing"),
      backlog: { ...some, pageVisits: 40_210, tabAggregates: 6_900, bytes: 61_200_000 },
      progress: { done: 1_200, total: 48_310, etaSeconds: 40 },
    },
    syncing_unknown: { ...base("syncing"), progress: null },
    retrying: {
      ...base("retrying"),
      reason: "The backend does not answer: connection refused",
      reasonCode: "no_answer",
      lastSync: { at: at(-20 * SECOND), outcome: "no_answer", sent: 0, failed: 0, why: null },
      backlog: some,
      nextAttemptAt: at(40 * SECOND),
      lastConfirmedAt: at(-50 * MINUTE),
    },
    needs_attention: {
      ...base("needs_attention"),
      failed: 5,
      failedKept: 2,
      reason: "3 records could not be delivered.",
      reasonCode: "failed_records",
      reasonArgs: { count: 3 },
    },
    failed_and_down: {
      ...base("needs_attention"),
      failed: 5,
      failedKept: 2,
      backlog: some,
      reason: "3 records could not be delivered.",
      reasonCode: "failed_records",
      reasonArgs: { count: 3 },
      also: [{ code: "no_answer", args: {}, text: "The backend does not answer: connection refused" }],
    },
    needs_setting: {
      ...base("needs_attention"),
      reason: "The backend does not let this account send records (403).",
      reasonCode: "forbidden",
      lastSync: { at: at(-20 * SECOND), outcome: "forbidden", sent: 0, failed: 0, why: null },
      backlog: some,
    },
    paused: { ...base("paused"), backlog: some, pausedUntil: at(HOUR), nextAttemptAt: null },
    paused_open: { ...base("paused"), backlog: some, nextAttemptAt: null },
    session_expired: { ...base("session_expired"), backlog: some, nextAttemptAt: null },
    signed_out: {
      ...base("signed_out"),
      account: null,
      unclaimed: 87,
      lastSync: null,
      lastConfirmedAt: null,
      nextAttemptAt: null,
      browsers: [],
    },
    other_account: {
      ...base("signed_out"),
      account: null,
      unclaimed: 12,
      otherAccounts: [{ ref: "2", email: "ben@example.org", backend: "https://sync.example.org", waiting: 40, failed: 1, failedKept: 0 }],
      nextAttemptAt: null,
    },
    buffer_problem: {
      ...base("buffer_problem"),
      reason: "The disk is full: free some space, and records are taken again",
      backlog: some,
    },
    full_signed_out: {
      ...base("buffer_problem"),
      account: null,
      unclaimed: 2_604,
      reason: "The buffer is full: 2000003072 bytes are kept, and 2000000000 are allowed ([buffer] max_bytes). Nothing new is taken until records are delivered.",
      reasonCode: "buffer_full",
      also: [{ code: "signed_out", args: {}, text: "Nobody is signed in. Records are kept safely here." }],
      lastSync: null,
      lastConfirmedAt: null,
      nextAttemptAt: null,
    },
    // Zeros that count nothing.
    unreadable: {
      ...base("buffer_problem"),
      account: null,
      reason: "The local store of records cannot be used: disk I/O error. Nothing that was sent is affected.",
      reasonCode: "buffer_unusable",
      lastSync: null,
      lastConfirmedAt: null,
      nextAttemptAt: null,
      numbersUnknown: true,
    },
    failed_of_another: {
      ...base("needs_attention"),
      failed: 1,
      reason: "1 record could not be delivered.",
      reasonCode: "failed_records",
      reasonArgs: { count: 1 },
      otherAccounts: [{ ref: "2", email: "grace@example.org", backend: "https://sync.example.org", waiting: 0, failed: 1, failedKept: 0 }],
    },
  };
}

export function failedRecords(now: Date, n: number): FailedRecord[] {
  const at = (ms: number) => new Date(now.getTime() + ms).toISOString();
  const kinds: Pick<FailedRecord, "kind" | "title" | "host" | "reason">[] = [
    {
      kind: "pageVisit",
      title: "Frequently asked questions about the tides of the northern sea",
      host: "tides.example.org",
      reason: { code: "rejected_by_backend", field: "url", message: "URL is longer than 2,048 characters", status: 400 },
    },
    {
      kind: "tabAggregate",
      title: null,
      host: "news.example.com",
      reason: { code: "rejected_by_backend", field: "total_time_seconds", message: "must not be negative", status: 400 },
    },
    {
      kind: "pageVisit",
      title: null,
      host: null,
      reason: { code: "rejected_at_capture", rule: "invalid_url", message: "url is javascript:…, accepted are http and https" },
    },
    { kind: "pageVisit", title: "An archive", host: "archive.example.net", reason: { code: "not_confirmed", attempts: 5 } },
    { kind: "pageVisit", title: "Map of everything", host: "maps.example.org", reason: { code: "damaged", message: "checksum differs" } },
  ];
  return Array.from({ length: n }, (_, i) => ({
    ...(kinds[i % kinds.length] as (typeof kinds)[number]),
    number: i + 1,
    id: `visit-${i + 1}`,
    url: null,
    text: "said by the agent",
    firstAt: at(-(i + 1) * 7 * MINUTE),
    lastAt: at(-(i + 1) * MINUTE),
    attempts: 1 + (i % 5),
    kept: n < 10 && i >= 3,
    account: "mia@example.org",
    own: true,
  }));
}

export function runs(now: Date): Run[] {
  const at = (ms: number) => new Date(now.getTime() + ms).toISOString();
  const run = (ago: number, took: number, sent: number, outcome: string, why: string | null, failed = 0): Run => ({
    startedAt: at(-ago),
    endedAt: at(-ago + took),
    batches: Math.ceil(sent / 200),
    sent,
    failed,
    outcome,
    why,
  });
  return [
    run(2 * MINUTE, 1_400, 37, "emptied", null),
    run(7 * MINUTE, 30_000, 0, "no_answer", "The backend does not answer: connection refused"),
    run(12 * MINUTE, 6_200, 412, "emptied", null, 3),
    run(17 * MINUTE, 420, 0, "nothing_to_send", null),
    run(26 * HOUR, 95_000, 4_800, "stopped", "Stopped as asked."),
  ];
}

const PAGES: readonly [string, string][] = [
  ["Tide tables for the northern sea", "tides.example.org"],
  ["How to tie a bowline", "knots.example.net"],
  ["Weather for the week", "weather.example.com"],
  ["A very long title that goes on and on about everything there is to know of lighthouses and their keepers", "lights.example.org"],
];

export function waitingRecords(now: Date, n: number): WaitingRecord[] {
  return Array.from({ length: n }, (_, i) => {
    const [title, host] = PAGES[i % PAGES.length] as [string, string];
    return {
      number: i + 1,
      kind: i % 5 === 4 ? ("tabAggregate" as const) : ("pageVisit" as const),
      id: `visit-${i + 1}`,
      title: i % 5 === 4 ? null : title,
      host,
      url: `https://${host}/`,
      bytes: 640 + i * 7,
      capturedAt: new Date(now.getTime() - (n - i) * MINUTE).toISOString(),
      own: false,
    };
  });
}

export function deliveredRecords(now: Date): Delivered[] {
  return PAGES.map(([title, host], i) => ({ title, host, kind: "pageVisit", at: new Date(now.getTime() - (i + 2) * MINUTE).toISOString() }));
}

export function timeline(now: Date): Timeline["points"] {
  return Array.from({ length: 20 }, (_, i) => ({
    at: new Date(now.getTime() - (19 - i) * HOUR).toISOString(),
    waiting: [3, 12, 0, 5, 40, 210, 380, 12, 0, 4][i % 10] as number,
    sent: [120, 80, 40, 0, 0, 0, 30, 420, 90, 60][i % 10] as number,
  }));
}

export function browserRows(now: Date): BrowserRow[] {
  const at = (ms: number) => new Date(now.getTime() + ms).toISOString();
  const row = (browser: string, name: string, state: BrowserRow["state"], sentence: string, more: Partial<BrowserRow> = {}): BrowserRow => ({
    browser,
    name,
    form: "package",
    state,
    sentence,
    held: null,
    command: null,
    canRegister: false,
    quietDays: null,
    profiles: [],
    ...more,
  });
  return [
    row("chromium", "Chromium", "connected", "Connected.", {
      profiles: [{ profileId: "9c1f2a", connected: true, lastSeenAt: at(-3 * SECOND), quiet: false }],
    }),
    row("firefox", "Firefox", "not_registered", "It does not know the companion yet. Connect it.", { canRegister: true }),
    row("brave", "Brave", "blocked", "Brave is a flatpak, whose sandbox keeps the companion out. Run this command once, and start Brave again.", {
      form: "flatpak",
      command: "flatpak override --user --talk-name=org.freedesktop.Flatpak com.brave.Browser",
    }),
  ];
}
