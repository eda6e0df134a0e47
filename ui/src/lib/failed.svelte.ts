/**
 * The failed records that have been read so far, in the agent's order. Read page by page as rows come into view;
 * read anew when the status says that the number changed: as far as somebody looks, and one reading after the other,
 * for a batch that drains changes it many times a second. What arrives late for an older question is dropped.
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
  /** What `total` counts had failed by then: whatever is asked of all is about these. */
  asOf: string | null = null;
  /** Only this reason code; null for all. */
  reason = $state<string | null>(null);
  read = $state(false);
  busy = $state(false);
  fault = $state<Fault | null>(null);
  #question = 0;
  #reading: Promise<void> | null = null;
  #again: Promise<void> | null = null;
  /** How many rows somebody looks at or has chosen, from the first one on. */
  readonly #wanted: () => number;

  constructor(companion: Companion, wanted: () => number) {
    this.#companion = companion;
    this.#wanted = wanted;
  }

  filter(reason: string | null): Promise<void> {
    this.reason = reason;
    return this.#anew(PAGE);
  }

  /** Reads again as far as it is wanted, so that the rows on show stay where they are. */
  reload(): Promise<void> {
    return this.#anew(Math.max(PAGE, Math.min(this.#wanted(), this.records.length)));
  }

  /** The same once the reading that is under way is over: however often it is asked for meanwhile, once. */
  refresh(): Promise<void> {
    this.#again ??= (async () => {
      await this.#reading;
      this.#again = null;
      await this.reload();
    })();
    return this.#again;
  }

  #anew(upTo: number): Promise<void> {
    this.#question += 1;
    return this.#start(upTo, true);
  }

  /** Sees to it that row `index` is read. */
  async reach(index: number): Promise<void> {
    await this.#reading;
    if (index < this.records.length || this.records.length >= this.total) return;
    await this.#start(index + 1, false);
  }

  /** `asOf`: of all that is meant, only what had failed by then. */
  async act(deed: Deed, which: Selection, asOf: string | null): Promise<number | null> {
    this.busy = true;
    this.fault = null;
    try {
      const done = await (deed === "retry"
        ? this.#companion.failedRetry(which)
        : deed === "discard"
          ? this.#companion.failedDiscard(which, asOf)
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
        this.asOf = page.asOf;
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
