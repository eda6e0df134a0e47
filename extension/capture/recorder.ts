/**
 * Runs the machine: one event after the other, state saved before anything leaves.
 *
 * Invariants
 * - The first event handled is `session`, given to `start`. Until it is known whether
 *   capture is on, events wait in memory; if it is off they are gone.
 * - Records go state → pending → outbox; a break anywhere repeats the last step.
 * - After a failure nothing is handled until `start` or `stop` is called again, and it is unwell until the look at
 *   the browser that follows was handled: what was missed is found then.
 */
import type { Forgetting, JsonObject, Kind, Stamp } from '../companion';
import { apply, nextDue } from './machine';
import type { CaptureStore } from './store';
import type { Emitted, Event, State } from './types';

export interface RecorderOptions {
  openStore: () => Promise<CaptureStore>;
  newId: (at: number) => string;
  now: () => number;
  after: (ms: number, task: () => void) => () => void;
  /** Resolves once the records are safe in the outbox. */
  hand: (kind: Kind, records: JsonObject[], stamp?: Stamp) => Promise<unknown>;
  log: (message: string) => void;
  /** Something could not be read or written, or all is well again. */
  onHealth?: (ill: boolean) => void;
}

/** Of events before it is known whether capture is on; a look at the browser follows in any case. */
const MOST_EARLY = 1_000;

export class Recorder {
  /** What is in the store could not be handed over. */
  private owes = false;
  private opened: Promise<{ store: CaptureStore; state: State }> | null = null;
  private queue: Promise<void> = Promise.resolve();
  private mode: 'undecided' | 'on' | 'off' = 'undecided';
  private readonly early: Event[] = [];
  private failed = false;
  /** It has failed, and the session's name has not been handled since. */
  private astray = false;
  private cancelTick: (() => void) | null = null;

  constructor(private readonly options: RecorderOptions) {}

  /** Whether it has to be started, or stopped, again: it never was, or something has failed since. */
  get unwell(): boolean {
    return this.failed || this.mode === 'undecided';
  }

  /** Begins with the browser session's name; events that came before follow in their order. */
  start(session: string): void {
    if (this.mode === 'on' && !this.failed) return;
    this.mode = 'on';
    this.enqueue({ type: 'session', at: this.options.now(), session });
    for (const event of this.early.splice(0)) this.enqueue(event);
  }

  /**
   * Capture is off since `at`: what was open ended then, what arrives is not looked at. That holds as well for what
   * a worker left open that was killed before it heard of it.
   */
  stop(session: string, at: number): void {
    if (this.mode === 'off' && !this.failed) return;
    this.mode = 'off';
    this.early.length = 0;
    this.enqueue({ type: 'session', at: this.options.now(), session });
    this.enqueue({ type: 'stopped', at });
  }

  /** A site is forgotten, also in what was not handed over yet. Done when nothing of it can be added any more. */
  async forget({ admit, keep }: Forgetting): Promise<void> {
    this.dispatch({ type: 'readmitted', at: this.options.now(), admit });
    this.run('forget', async () => {
      const { store } = await this.open();
      await store.rewrite((one) => {
        const record = keep(one.kind, one.record);
        return record === null ? null : { ...one, record };
      });
    });
    await this.settled();
  }

  dispatch(event: Event): void {
    if (this.mode === 'on') this.enqueue(event);
    else if (this.mode === 'undecided' && this.early.length < MOST_EARLY) this.early.push(event);
  }

  /** Reads the kept state; called early it saves the first event the wait. */
  open(): Promise<{ store: CaptureStore; state: State }> {
    this.opened ??= this.load().catch((error: unknown) => {
      this.opened = null;
      throw error;
    });
    return this.opened;
  }

  /** Done when everything dispatched so far is handled. */
  settled(): Promise<void> {
    return this.queue;
  }

  private enqueue(event: Event): void {
    this.run(event.type, () => this.handle(event));
  }

  private run(name: string, task: () => Promise<void>): void {
    this.queue = this.queue.then(task).catch((error: unknown) => {
      // The state is read again from the store: memory may be ahead of it.
      this.opened = null;
      this.astray = true;
      this.become(true);
      this.options.log(`capture: ${name}: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  private async handle(event: Event): Promise<void> {
    if (this.astray && event.type !== 'session') return;
    const { store, state } = await this.open();
    const { records, touched } = apply(state, event, this.options.newId);
    await store.save(state, touched, records);
    this.astray = false;
    const due = records.length > 0 || this.owes || event.type === 'session' || event.type === 'beat';
    if (due) await this.tryToHandOver(store);
    this.schedule(state);
    if ((event.type === 'reconciled' || event.type === 'stopped') && !this.owes) this.become(false);
  }

  /** What cannot be handed over now is kept in the store until the next beat: no event is lost for it. */
  private async tryToHandOver(store: CaptureStore): Promise<void> {
    try {
      await this.handOver(store);
      this.owes = false;
    } catch (error) {
      this.owes = true;
      this.become(true);
      this.options.log(`capture: handing over: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private become(failed: boolean): void {
    if (failed === this.failed) return;
    this.failed = failed;
    this.options.onHealth?.(failed);
  }

  private async load(): Promise<{ store: CaptureStore; state: State }> {
    const store = await this.options.openStore();
    return { store, state: await store.load() };
  }

  private async handOver(store: CaptureStore): Promise<void> {
    for (;;) {
      const { records, upTo } = await store.pending();
      if (records.length === 0) return;
      for (const one of byStamp(records)) {
        const of = (kind: Kind): JsonObject[] => one.filter((e: Emitted) => e.kind === kind).map((e) => e.record);
        // Visits first: an aggregate points to one.
        for (const kind of ['pageVisit', 'tabAggregate'] as const) {
          const some = of(kind);
          if (some.length > 0) await this.options.hand(kind, some, one[0]?.stamp);
        }
      }
      await store.handedOver(upTo);
    }
  }

  private schedule(state: State): void {
    this.cancelTick?.();
    this.cancelTick = null;
    const due = nextDue(state);
    if (due === null) return;
    const wait = Math.max(0, due - this.options.now());
    this.cancelTick = this.options.after(wait, () => this.dispatch({ type: 'beat', at: this.options.now() }));
  }
}

/** Runs of one account, in their order. */
function byStamp(records: readonly Emitted[]): Emitted[][] {
  const runs: Emitted[][] = [];
  for (const record of records) {
    const run = runs.at(-1);
    if (run !== undefined && JSON.stringify(run[0]?.stamp) === JSON.stringify(record.stamp)) run.push(record);
    else runs.push([record]);
  }
  return runs;
}
