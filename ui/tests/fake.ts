/**
 * A companion that answers from memory: for tests and screenshots, never part of the built window.
 * It records what was asked, and says a status when told to.
 */
import type { FailedRecord } from "../src/generated/FailedRecord";
import type { Fault } from "../src/generated/Fault";
import type { Login } from "../src/generated/Login";
import type { Run } from "../src/generated/Run";
import type { Selection } from "../src/generated/Selection";
import type { Status } from "../src/generated/Status";
import type { Companion } from "../src/lib/companion";

export class FakeCompanion implements Companion {
  readonly asked: [string, ...unknown[]][] = [];
  /** What the next call of a command is refused with. */
  readonly refusals = new Map<string, Fault>();
  heard: ((status: Status | null) => void) | undefined;

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

  about = () => this.#answer("about", [], () => ({ version: "0.1.0", backend: "http://127.0.0.1:3001" }));
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
  failedDiscard = (which: Selection) => this.#answer("failedDiscard", [which], () => this.#remove(which));
  failedKeep = (which: Selection) =>
    this.#answer("failedKeep", [which], () => {
      const chosen = this.#chosen(which);
      this.failed = this.failed.map((r) => (chosen.includes(r) ? { ...r, kept: true } : r));
      return { count: chosen.length };
    });

  onStatus = (heard: (status: Status | null) => void) => {
    this.heard = heard;
    return Promise.resolve();
  };
}
