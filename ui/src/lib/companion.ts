/**
 * What the window can ask of the shell: one function a command, typed by what Rust generates.
 * The only module that knows of Tauri. A refusal always arrives as a `Fault`.
 */
import { invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";
import type { About } from "../generated/About";
import type { Account } from "../generated/Account";
import type { After } from "../generated/After";
import type { BackendTest } from "../generated/BackendTest";
import type { BrowserRow } from "../generated/BrowserRow";
import type { Count } from "../generated/Count";
import type { Delivered } from "../generated/Delivered";
import type { Exported } from "../generated/Exported";
import type { FailedPage } from "../generated/FailedPage";
import type { FailedRecord } from "../generated/FailedRecord";
import type { Fault } from "../generated/Fault";
import type { Folder } from "../generated/Folder";
import type { Forgotten } from "../generated/Forgotten";
import type { Login } from "../generated/Login";
import type { Rule } from "../generated/Rule";
import type { Run } from "../generated/Run";
import type { Selection } from "../generated/Selection";
import type { Setting } from "../generated/Setting";
import type { Settings } from "../generated/Settings";
import type { Status } from "../generated/Status";
import type { Timeline } from "../generated/Timeline";
import type { WaitingPage } from "../generated/WaitingPage";

/** What may be written as a setting's value: what may be read as one. */
export type SettingValue = Setting["value"];

export interface Companion {
  about(): Promise<About>;
  status(): Promise<Status | null>;
  sync(): Promise<null>;
  stop(): Promise<null>;
  pause(seconds: number | null): Promise<null>;
  resume(): Promise<null>;
  login(login: Login): Promise<Account>;
  logout(): Promise<null>;
  claim(): Promise<Count>;
  // These go to the backend whose address stands in the form, as the sign-in does; null: the settings' one.
  verify(email: string, code: string, backend: string | null): Promise<null>;
  resendCode(email: string, backend: string | null): Promise<null>;
  forgotPassword(email: string, backend: string | null): Promise<null>;
  setPassword(email: string, code: string, password: string, backend: string | null): Promise<null>;
  browsers(): Promise<BrowserRow[]>;
  registerBrowser(browser: string): Promise<BrowserRow[]>;
  failedList(after: number, limit: number, reason: string | null): Promise<FailedPage>;
  failedShow(number: number): Promise<FailedRecord>;
  failedRetry(which: Selection): Promise<Count>;
  /** `asOf`: only what had failed by then; null: whatever is meant now. */
  failedDiscard(which: Selection, asOf: string | null): Promise<Count>;
  failedKeep(which: Selection): Promise<Count>;
  waitingList(after: number, limit: number, search: string | null): Promise<WaitingPage>;
  waitingDiscard(which: Selection): Promise<Count>;
  delivered(): Promise<Delivered[]>;
  timeline(): Promise<Timeline>;
  history(limit: number): Promise<Run[]>;
  settings(): Promise<Settings>;
  setSetting(key: string, value: SettingValue): Promise<Settings>;
  /** One more rule; all others stay as they are. */
  addRule(rule: Rule): Promise<Settings>;
  /** The rule that says exactly this. */
  removeRule(rule: Rule): Promise<Settings>;
  testBackend(url: string): Promise<BackendTest>;
  forget(domain: string, backend: boolean): Promise<Forgotten>;
  erase(): Promise<Count>;
  discardAccount(ref: string): Promise<Count>;
  exportRecords(what: { failed: boolean; account: string | null }): Promise<Exported>;
  /** Opens the folder that the last export is in. */
  showExport(): Promise<null>;
  openFolder(folder: Folder): Promise<null>;
  diagnostics(): Promise<string>;
  /** What was saved of a damaged store was read: it need not be said any more. */
  recoverySeen(): Promise<null>;
  /** Whether the companion starts at login; with an argument, from now on. */
  startAtLogin(on: boolean | null): Promise<boolean>;
  /** The first question was answered with yes. */
  welcome(): Promise<null>;
  quit(): Promise<null>;
  /** Tries to start the companion again, after what prevented it was mended. */
  restart(): Promise<null>;
  /** Calls back with each new status; null: there is no agent now, and one takes its place. */
  onStatus(heard: (status: Status | null) => void): Promise<void>;
  /** Calls back when no status will come any more. */
  onGone(heard: () => void): Promise<void>;
  /** Calls back when a setting was changed, here or on the command line. */
  onSettings(heard: () => void): Promise<void>;
  /** Calls back when the companion is ending, whoever asked for it, and with what comes after. */
  onEnding(heard: (after: After) => void): Promise<void>;
}

/** Anything that was thrown, as a fault: what is not one is a defect, and is shown as it is. */
export function asFault(thrown: unknown): Fault {
  if (typeof thrown === "object" && thrown !== null && "code" in thrown && "text" in thrown) {
    return thrown as Fault;
  }
  return { code: "failed", text: thrown instanceof Error ? thrown.message : String(thrown) };
}

export function tauriCompanion(): Companion {
  return {
    about: () => invoke("about"),
    status: () => invoke("status"),
    sync: () => invoke("sync"),
    stop: () => invoke("stop"),
    pause: (seconds) => invoke("pause", { seconds }),
    resume: () => invoke("resume"),
    login: (login) => invoke("login", { login }),
    logout: () => invoke("logout"),
    claim: () => invoke("claim"),
    verify: (email, code, backend) => invoke("verify", { email, code, backend }),
    resendCode: (email, backend) => invoke("resend_code", { email, backend }),
    forgotPassword: (email, backend) => invoke("forgot_password", { email, backend }),
    setPassword: (email, code, password, backend) => invoke("set_password", { email, code, password, backend }),
    browsers: () => invoke("browsers"),
    registerBrowser: (browser) => invoke("register_browser", { browser }),
    failedList: (after, limit, reason) => invoke("failed_list", { after, limit, reason }),
    failedShow: (number) => invoke("failed_show", { number }),
    failedRetry: (which) => invoke("failed_retry", { which }),
    failedDiscard: (which, asOf) => invoke("failed_discard", { which, asOf }),
    failedKeep: (which) => invoke("failed_keep", { which }),
    waitingList: (after, limit, search) => invoke("waiting_list", { after, limit, search }),
    waitingDiscard: (which) => invoke("waiting_discard", { which }),
    delivered: () => invoke("delivered"),
    timeline: () => invoke("timeline"),
    history: (limit) => invoke("history", { limit }),
    settings: () => invoke("settings"),
    setSetting: (key, value) => invoke("set_setting", { key, value }),
    addRule: (rule) => invoke("add_rule", { rule }),
    removeRule: (rule) => invoke("remove_rule", { rule }),
    testBackend: (url) => invoke("test_backend", { url }),
    forget: (domain, backend) => invoke("forget", { domain, backend }),
    erase: () => invoke("erase"),
    discardAccount: (ref) => invoke("discard_account", { account: ref }),
    exportRecords: ({ failed, account }) => invoke("export_records", { failed, account }),
    showExport: () => invoke("show_export"),
    openFolder: (folder) => invoke("open_folder", { folder }),
    diagnostics: () => invoke("diagnostics"),
    recoverySeen: () => invoke("recovery_seen"),
    startAtLogin: (on) => invoke("start_at_login", { on }),
    welcome: () => invoke("welcome"),
    quit: () => invoke("quit"),
    restart: () => invoke("restart"),
    onStatus: async (heard) => {
      await listen<Status | null>("status", (event) => heard(event.payload));
    },
    onGone: async (heard) => {
      await listen<null>("gone", () => heard());
    },
    onSettings: async (heard) => {
      await listen<null>("settings", () => heard());
    },
    onEnding: async (heard) => {
      await listen<After>("ending", (event) => heard(event.payload));
    },
  };
}
