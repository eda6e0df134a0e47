/**
 * A companion that answers from memory: for tests and screenshots, never part of the built window.
 * It records what was asked, and says a status when told to.
 */
import type { About } from "../src/generated/About";
import type { After } from "../src/generated/After";
import type { BrowserRow } from "../src/generated/BrowserRow";
import type { Delivered } from "../src/generated/Delivered";
import type { FailedRecord } from "../src/generated/FailedRecord";
import type { Fault } from "../src/generated/Fault";
import type { Folder } from "../src/generated/Folder";
import type { Login } from "../src/generated/Login";
import type { Rule } from "../src/generated/Rule";
import type { Run } from "../src/generated/Run";
import type { Selection } from "../src/generated/Selection";
import type { Setting } from "../src/generated/Setting";
import type { SettingProblem } from "../src/generated/SettingProblem";
import type { Settings } from "../src/generated/Settings";
import type { Status } from "../src/generated/Status";
import type { Timeline } from "../src/generated/Timeline";
import type { WaitingRecord } from "../src/generated/WaitingRecord";
import type { Companion, SettingValue } from "../src/lib/companion";

const DEFAULTS: Record<string, SettingValue> = {
  "backend.allow_http": false,
  "backend.url": "http://127.0.0.1:3001",
  "sync.interval": "5m",
  "sync.hold": "0m",
  "sync.pause_on_metered": false,
  "sync.pause_on_battery": false,
  "window.appearance": "system",
  "window.language": "system",
  "window.notifications": true,
};

export class FakeCompanion implements Companion {
  readonly asked: [string, ...unknown[]][] = [];
  /** What the next call of a command is refused with. */
  readonly refusals = new Map<string, Fault>();
  /** Parts of an answer that a test sets. */
  shell: Partial<About> = {};
  atLogin = false;
  forgottenText = "3 records about it deleted here.";
  forgottenClosed: string[] = [];
  forgottenSilent: string[] = [];
  rows: BrowserRow[] = [];
  waiting: WaitingRecord[] = [];
  sent: Delivered[] = [];
  points: Timeline["points"] = [];
  rules: Rule[] = [];
  problem: SettingProblem | null = null;
  /** When the list of failed records was read, by the agent's clock. */
  asOf = "2026-11-21T14:30:00Z";
  file = new Map<string, SettingValue>();
  heard: ((status: Status | null) => void) | undefined;
  settingsChanged: (() => void) | undefined;
  ends: ((after: After) => void) | undefined;
  gone: (() => void) | undefined;

  constructor(
    public current: Status | null,
    public failed: FailedRecord[] = [],
    public past: Run[] = [],
  ) {}

  say(status: Status | null): void {
    this.current = status;
    this.heard?.(status);
  }

  #answer<T>(name: string, args: unknown[], value: () => T): Promise<T> {
    this.asked.push([name, ...args]);
    const refusal = this.refusals.get(name);
    this.refusals.delete(name);
    return refusal ? Promise.reject(refusal) : Promise.resolve(value());
  }

  #chosen(which: Selection): FailedRecord[] {
    if (which === "all") return this.failed;
    if ("ids" in which) return this.failed.filter((r) => which.ids.includes(r.number));
    return this.failed.filter((r) => r.reason.code === which.reason);
  }

  about = () => this.#answer("about", [], () => ({ version: "0.1.0", backend: "http://127.0.0.1:3001", firstRun: false, problem: null, ending: null, ...this.shell }));
  status = () => this.#answer("status", [], () => this.current);
  sync = () => this.#answer("sync", [], () => null);
  stop = () => this.#answer("stop", [], () => null);
  pause = (seconds: number | null) => this.#answer("pause", [seconds], () => null);
  resume = () => this.#answer("resume", [], () => null);
  login = (login: Login) =>
    this.#answer("login", [login], () => ({ ref: "1", email: login.email, backend: login.backend ?? "http://127.0.0.1:3001" }));
  logout = () => this.#answer("logout", [], () => null);
  quit = () => this.#answer("quit", [], () => null);
  history = (limit: number) => this.#answer("history", [limit], () => this.past.slice(0, limit));

  failedList = (after: number, limit: number, reason: string | null) =>
    this.#answer("failedList", [after, limit, reason], () => {
      const all = reason === null ? this.failed : this.#chosen({ reason });
      const counts = new Map<string, number>();
      for (const r of this.failed) counts.set(r.reason.code, (counts.get(r.reason.code) ?? 0) + 1);
      return {
        records: all.filter((r) => r.number > after).slice(0, limit),
        total: all.length,
        asOf: this.asOf,
        reasons: Array.from(counts, ([code, count]) => ({ code, count })),
      };
    });

  failedShow = (number: number) =>
    this.#answer("failedShow", [number], () => ({
      ...(this.failed.find((r) => r.number === number) as FailedRecord),
      record: '{"id":"visit-1","url":"https://tides.example.org/"}',
    }));

  #remove(which: Selection) {
    const gone = this.#chosen(which);
    this.failed = this.failed.filter((r) => !gone.includes(r));
    return { count: gone.length };
  }

  failedRetry = (which: Selection) => this.#answer("failedRetry", [which], () => this.#remove(which));
  failedDiscard = (which: Selection, asOf: string | null) => this.#answer("failedDiscard", [which, asOf], () => this.#remove(which));
  failedKeep = (which: Selection) =>
    this.#answer("failedKeep", [which], () => {
      const chosen = this.#chosen(which);
      this.failed = this.failed.map((r) => (chosen.includes(r) ? { ...r, kept: true } : r));
      return { count: chosen.length };
    });

  claim = () => this.#answer("claim", [], () => ({ count: this.current?.unclaimed ?? 0 }));
  verify = (email: string, code: string, backend: string | null) => this.#answer("verify", [email, code, backend], () => null);
  resendCode = (email: string, backend: string | null) => this.#answer("resendCode", [email, backend], () => null);
  forgotPassword = (email: string, backend: string | null) => this.#answer("forgotPassword", [email, backend], () => null);
  setPassword = (email: string, code: string, password: string, backend: string | null) =>
    this.#answer("setPassword", [email, code, password, backend], () => null);
  browsers = () => this.#answer("browsers", [], () => this.rows);
  registerBrowser = (browser: string) =>
    this.#answer("registerBrowser", [browser], () => {
      this.rows = this.rows.map((row) => (row.browser === browser ? { ...row, state: "registered" as const, canRegister: false } : row));
      return this.rows;
    });
  waitingList = (after: number, limit: number, search: string | null) =>
    this.#answer("waitingList", [after, limit, search], () => {
      const found = this.waiting.filter((r) => r.number > after && (!search || `${r.title} ${r.host}`.includes(search)));
      return { records: found.slice(0, limit), total: this.waiting.length, next: found.length > limit ? (found[limit - 1]?.number ?? null) : null };
    });
  waitingDiscard = (which: Selection) =>
    this.#answer("waitingDiscard", [which], () => {
      const before = this.waiting.length;
      if (typeof which === "object" && "ids" in which) this.waiting = this.waiting.filter((r) => !which.ids.includes(r.number));
      return { count: before - this.waiting.length };
    });
  delivered = () => this.#answer("delivered", [], () => this.sent);
  timeline = () => this.#answer("timeline", [], () => ({ points: this.points }));

  #settings(): Settings {
    const settings: Setting[] = Object.entries(DEFAULTS).map(([key, value]) => ({
      key,
      value: this.file.get(key) ?? value,
      default: value,
      set: this.file.has(key),
      accepted: "what is accepted",
      restart: false,
    }));
    return { settings, rules: this.rules, problem: this.problem, unknown: [] };
  }
  settings = () => this.#answer("settings", [], () => this.#settings());
  setSetting = (key: string, value: SettingValue) =>
    this.#answer("setSetting", [key, value], () => {
      this.file.set(key, value);
      return this.#settings();
    });
  addRule = (rule: Rule) =>
    this.#answer("addRule", [rule], () => {
      this.rules = [...this.rules, rule];
      return this.#settings();
    });
  removeRule = (rule: Rule) =>
    this.#answer("removeRule", [rule], () => {
      const at = this.rules.findIndex((other) => JSON.stringify(other) === JSON.stringify(rule));
      this.rules = this.rules.filter((_, i) => i !== at);
      return this.#settings();
    });
  testBackend = (url: string) =>
    this.#answer("testBackend", [url], () => ({ ok: !url.includes("bad"), text: `what ${url} said`, features: [] }));
  forget = (domain: string, backend: boolean) =>
    this.#answer("forget", [domain, backend], () => ({ waiting: 2, failed: 1, changed: 0, backend: backend ? 5 : null, closed: this.forgottenClosed, silent: this.forgottenSilent, text: this.forgottenText }));
  erase = () => this.#answer("erase", [], () => ({ count: 7 }));
  discardAccount = (ref: string) => this.#answer("discardAccount", [ref], () => ({ count: 41 }));
  exportRecords = (what: { failed: boolean; account: string | null }) =>
    this.#answer("exportRecords", [what], () => ({ count: 12, file: "heyho-records-2026-11-21.ndjson" }));
  showExport = () => this.#answer("showExport", [], () => null);
  openFolder = (folder: Folder) => this.#answer("openFolder", [folder], () => null);
  diagnostics = () => this.#answer("diagnostics", [], () => "companion 0.1.0");
  recoverySeen = () => this.#answer("recoverySeen", [], () => null);
  startAtLogin = (on: boolean | null) => this.#answer("startAtLogin", [on], () => (this.atLogin = on ?? this.atLogin));
  welcome = () => this.#answer("welcome", [], () => null);
  restart = () => this.#answer("restart", [], () => null);

  onStatus = (heard: (status: Status | null) => void) => {
    this.heard = heard;
    return Promise.resolve();
  };
  onGone = (heard: () => void) => {
    this.gone = heard;
    return Promise.resolve();
  };
  onSettings = (heard: () => void) => {
    this.settingsChanged = heard;
    return Promise.resolve();
  };
  onEnding = (heard: (after: After) => void) => {
    this.ends = heard;
    return Promise.resolve();
  };
}
