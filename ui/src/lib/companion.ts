/**
 * What the window can ask of the shell: one function a command, typed by what Rust generates.
 * The only module that knows of Tauri. A refusal always arrives as a `Fault`.
 */
import { invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";
import type { Account } from "../generated/Account";
import type { Count } from "../generated/Count";
import type { FailedPage } from "../generated/FailedPage";
import type { FailedRecord } from "../generated/FailedRecord";
import type { Fault } from "../generated/Fault";
import type { Login } from "../generated/Login";
import type { Run } from "../generated/Run";
import type { Selection } from "../generated/Selection";
import type { Status } from "../generated/Status";

/** What the shell knows of itself. */
export interface About {
  version: string;
  /** The backend of `config.toml`, offered in the sign-in form. */
  backend: string | null;
}

export interface Companion {
  about(): Promise<About>;
  status(): Promise<Status | null>;
  sync(): Promise<null>;
  stop(): Promise<null>;
  pause(seconds: number | null): Promise<null>;
  resume(): Promise<null>;
  login(login: Login): Promise<Account>;
  logout(): Promise<null>;
  failedList(after: number, limit: number, reason: string | null): Promise<FailedPage>;
  failedShow(number: number): Promise<FailedRecord>;
  failedRetry(which: Selection): Promise<Count>;
  failedDiscard(which: Selection): Promise<Count>;
  failedKeep(which: Selection): Promise<Count>;
  history(limit: number): Promise<Run[]>;
  quit(): Promise<null>;
  /** Calls back with each new status; null means that the agent is gone. */
  onStatus(heard: (status: Status | null) => void): Promise<void>;
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
    failedList: (after, limit, reason) => invoke("failed_list", { after, limit, reason }),
    failedShow: (number) => invoke("failed_show", { number }),
    failedRetry: (which) => invoke("failed_retry", { which }),
    failedDiscard: (which) => invoke("failed_discard", { which }),
    failedKeep: (which) => invoke("failed_keep", { which }),
    history: (limit) => invoke("history", { limit }),
    quit: () => invoke("quit"),
    onStatus: async (heard) => {
      await listen<Status | null>("status", (event) => heard(event.payload));
    },
  };
}
