/**
 * What the window knows: the last status, and what the running requests said. Views read it and call it; it
 * alone calls the companion. `status` is `undefined` before the first one and `null` while the companion takes its
 * place again; `gone` when it never will.
 */
import type { About } from "../generated/About";
import type { After } from "../generated/After";
import type { Fault } from "../generated/Fault";
import type { Folder } from "../generated/Folder";
import type { Login } from "../generated/Login";
import type { Settings } from "../generated/Settings";
import type { Status } from "../generated/Status";
import { asFault, type Companion } from "./companion";
import { cannotStart } from "./head";
import { RULES } from "./settings.svelte";

export type Tab = "overview" | "failed" | "browsers" | "history" | "settings";

export class Session {
  readonly companion: Companion;
  status = $state<Status | null | undefined>(undefined);
  gone = $state(false);
  about = $state<About | null>(null);
  tab = $state<Tab>("overview");
  /** The request the head's buttons wait for. */
  running = $state<"sync" | "stop" | "pause" | "resume" | null>(null);
  fault = $state<Fault | null>(null);
  /** The first run is under way: nobody has used the companion here before. Null: that is not known yet. */
  first = $state<boolean | null>(null);
  /** What `window.language` says; null before the settings were read. */
  language = $state<string | null>(null);
  /** What `backend.url` says, for the sign-in form: another program may have changed it since the page opened. */
  backend = $state<string | null>(null);
  /** Counts the changes of settings that were heard of: whoever shows settings reads them again. */
  settingsRead = $state(0);
  /** The companion is ending, and what comes then: the batch in flight is waited for. */
  ending = $state<After | null>(null);
  /** "Try again" was pressed: whether the companion can start now is not known yet. */
  retrying = $state(false);

  constructor(companion: Companion) {
    this.companion = companion;
  }

  async start(): Promise<void> {
    await this.companion.onStatus((status) => {
      if (status !== null || this.status !== undefined) this.#heard(status);
    });
    await this.companion.onGone(() => (this.gone = true));
    await this.companion.onSettings(() => this.settingsChanged());
    await this.companion.onEnding((after) => (this.ending = after));
    // Heard first, asked second: an event that came meanwhile is newer than the answer.
    try {
      const asked = await this.companion.status();
      if (this.status === undefined && asked !== null) this.#heard(asked);
    } catch (thrown) {
      this.fault = asFault(thrown);
      this.gone = this.status === undefined;
    }
    try {
      this.about = await this.companion.about();
      // What was heard of since is newer.
      this.backend ??= this.about.backend;
      // There is no agent to ask then, and that is said in its own words.
      if (this.about.problem !== null) this.fault = null;
      this.ending ??= this.about.ending;
      this.#greet();
    } catch (thrown) {
      this.fault ??= asFault(thrown);
      this.first = false;
    }
  }

  #heard(status: Status | null): void {
    this.status = status;
    this.gone = false;
    this.retrying = false;
    this.#greet();
  }

  /** Decides once whether this is the first run: whoever signed in by another way, on the command line, was asked there. */
  #greet(): void {
    if (this.first !== null || this.about === null) return;
    if (!this.about.firstRun) this.first = false;
    else if (this.status && !cannotStart(this.status) && !this.status.numbersUnknown) this.first = !this.status.account;
  }

  sync = () => this.#run("sync", () => this.companion.sync());
  stop = () => this.#run("stop", () => this.companion.stop());
  pause = (seconds: number | null) => this.#run("pause", () => this.companion.pause(seconds));
  resume = () => this.#run("resume", () => this.companion.resume());

  /** Throws the fault: the form shows it where it belongs. The password is not kept here. */
  async login(login: Login): Promise<void> {
    await this.companion.login(login);
    this.fault = null;
  }

  logout = () => this.#try(() => this.companion.logout());
  quit = async () => {
    this.ending = "nothing";
    await this.#try(() => this.companion.quit());
    if (this.fault) this.ending = null;
  };
  understood = () => this.#try(() => this.companion.recoverySeen());
  restart = async () => {
    this.retrying = true;
    await this.#try(() => this.companion.restart());
    if (this.fault) this.retrying = false;
  };
  open = (folder: Folder) => this.#try(() => this.companion.openFolder(folder));

  /** The first question was answered with yes; false where that could not be noted. */
  welcome = async (): Promise<boolean> => {
    await this.#try(() => this.companion.welcome());
    return this.fault === null;
  };

  /** The first run is over. */
  settle = () => {
    this.first = false;
    this.tab = "overview";
  };

  settingsChanged(): void {
    const mine = ++this.settingsRead;
    // Also where no settings are open: language and backend are the whole window's. An answer to an earlier question
    // would be older.
    const heard = (settings: Settings) => {
      if (mine === this.settingsRead) this.look(settings);
    };
    void this.companion.settings().then(heard, () => undefined);
  }

  /** Some settings change the window itself, and where a password goes. */
  look(settings: Settings): void {
    const of = (key: string) => settings.settings.findIndex((setting) => setting.key === key);
    const text = (key: string) => {
      const value = settings.settings[of(key)]?.value;
      return typeof value === "string" ? value : null;
    };
    this.language = text("window.language") ?? this.language;
    // For what is mistaken there stands a default that is not in force: no password goes there. The first mistake is
    // named, and the list is in the order in which they are looked for; the privacy rules, which are not in it, come last.
    const url = settings.settings[of("backend.url")];
    const before = settings.problem !== null && settings.problem.key !== RULES && of(settings.problem.key ?? "") <= of("backend.url");
    const standsIn = before && url?.value === url?.default;
    if (!standsIn) this.backend = text("backend.url") ?? this.backend;
  }

  async #run(what: "sync" | "stop" | "pause" | "resume", call: () => Promise<unknown>): Promise<void> {
    if (this.running !== null) return;
    this.running = what;
    await this.#try(call);
    this.running = null;
  }

  async #try(call: () => Promise<unknown>): Promise<void> {
    this.fault = null;
    try {
      await call();
    } catch (thrown) {
      this.fault = asFault(thrown);
    }
  }
}
