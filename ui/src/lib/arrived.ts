/**
 * How many records have arrived since somebody began to watch, and what was here then. What the status says is what lies
 * here: it falls with each delivery, which reads as a loss to whoever sees it for the first time. So deliveries are
 * counted in. The number never falls. Pure but for what it remembers.
 */
import type { Status } from "../generated/Status";
import { keptHere } from "./head";

export class Arrived {
  #most = 0;
  /** By runs that have ended since. */
  #sent = 0;
  /** Of the run that is under way. */
  #under = 0;
  /** The run that was counted last; undefined before the first status. */
  #counted: string | null | undefined;
  /** Its end was counted, and the status still shows it under way. */
  #over = false;

  /** The number, with this status. */
  with(s: Status): number {
    const last = s.lastSync?.at ?? null;
    if (this.#counted === undefined) this.#counted = last;
    const done = s.state === "syncing" ? (s.progress?.done ?? 0) : 0;
    if (last !== this.#counted) {
      this.#sent += s.lastSync?.sent ?? 0;
      this.#counted = last;
      this.#over = true;
    }
    // A run that begins has done less than the one before.
    if (s.state !== "syncing" || done < this.#under) this.#over = false;
    this.#under = done;
    this.#most = Math.max(this.#most, keptHere(s) + this.#sent + (this.#over ? 0 : done));
    return this.#most;
  }
}
