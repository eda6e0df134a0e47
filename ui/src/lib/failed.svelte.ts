/**
 * The failed records that have been read so far, in the agent's order. Read page by page as rows come into view;
 * read anew when the status says that the number changed. What arrives late for an older question is dropped.
 */
import type { FailedRecord } from "../generated/FailedRecord";
import type { Fault } from "../generated/Fault";
import type { ReasonCount } from "../generated/ReasonCount";
import type { Selection } from "../generated/Selection";
import { asFault, type Companion } from "./companion";

export const PAGE = 200;

export type Deed = "retry" | "discard" | "keep";

export class FailedList {
  readonly #companion: Companion;
  records = $state.raw<readonly FailedRecord[]>([]);
  total = $state(0);
  reasons = $state.raw<readonly ReasonCount[]>([]);
  /** Only this reason code; null for all. */
  reason = $state<string | null>(null);
  read = $state(false);
  busy = $state(false);
  fault = $state<Fault | null>(null);
  #question = 0;
  #reading: Promise<void> | null = null;

  constructor(companion: Companion) {
    this.#companion = companion;
  }

  filter(reason: string | null): Promise<void> {
    this.reason = reason;
    return this.reload();
  }

  /** Reads again as far as it was read, so that the rows on show stay where they are. */
  reload(): Promise<void> {
    this.#question += 1;
    return this.#start(Math.max(PAGE, this.records.length), true);
  }

  /** Sees to it that row `index` is read. */
  async reach(index: number): Promise<void> {
    await this.#reading;
    if (index < this.records.length || this.records.length >= this.total) return;
    await this.#start(index + 1, false);
  }

  async act(deed: Deed, which: Selection): Promise<number | null> {
    this.busy = true;
    this.fault = null;
    try {
      const done = await (deed === "retry"
        ? this.#companion.failedRetry(which)
        : deed === "discard"
          ? this.#companion.failedDiscard(which)
          : this.#companion.failedKeep(which));
      await this.reload();
      return done.count;
    } catch (thrown) {
      this.fault = asFault(thrown);
      return null;
    } finally {
      this.busy = false;
    }
  }

  /** All that the list shows: never more than the filter says. */
  shown(): Selection {
    return this.reason === null ? "all" : { reason: this.reason };
  }

  #start(upTo: number, anew: boolean): Promise<void> {
    const reading = this.#readUpTo(upTo, anew).finally(() => {
      if (this.#reading === reading) this.#reading = null;
    });
    this.#reading = reading;
    return reading;
  }

  async #readUpTo(upTo: number, anew: boolean): Promise<void> {
    const question = this.#question;
    let records = anew ? [] : [...this.records];
    try {
      for (;;) {
        const after = records.at(-1)?.number ?? 0;
        const page = await this.#companion.failedList(after, PAGE, this.reason);
        if (question !== this.#question) return;
        records = records.concat(page.records);
        this.total = page.total;
        this.reasons = page.reasons;
        if (page.records.length === 0) this.total = records.length;
        if (page.records.length === 0 || records.length >= Math.min(upTo, page.total)) break;
      }
      this.records = records;
      this.read = true;
    } catch (thrown) {
      if (question === this.#question) this.fault = asFault(thrown);
    }
  }
}
