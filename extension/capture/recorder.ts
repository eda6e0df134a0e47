/**
 * Runs the machine: one event after the other, state saved before anything leaves.
 *
 * Invariants
 * - The first event handled is `session`, given to `start`. Until it is known whether
 *   capture is on, events wait in memory; if it is off they are gone.
 * - Records go state → pending → outbox; a break anywhere repeats the last step.
 */
import type { JsonObject, Kind, Stamp } from '../companion';
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
}

export class Recorder {
  private opened: Promise<{ store: CaptureStore; state: State }> | null = null;
  private queue: Promise<void> = Promise.resolve();
  private mode: 'undecided' | 'on' | 'off' = 'undecided';
  private readonly early: Event[] = [];
  private cancelTick: (() => void) | null = null;

  constructor(private readonly options: RecorderOptions) {}

  /** Begins with the browser session's name; events that came before follow in their order. */
  start(session: string): void {
    if (this.mode === 'on') return;
    this.mode = 'on';
    this.enqueue({ type: 'session', at: this.options.now(), session });
    for (const event of this.early.splice(0)) this.enqueue(event);
  }

  /**
   * Capture is off since `at`: what was open ended then, what arrives is not looked at. That holds as well for what
   * a worker left open that was killed before it heard of it.
   */
  stop(session: string, at: number): void {
    if (this.mode === 'off') return;
    this.mode = 'off';
    this.early.length = 0;
    this.enqueue({ type: 'session', at: this.options.now(), session });
    this.enqueue({ type: 'stopped', at });
  }

  dispatch(event: Event): void {
    if (this.mode === 'on') this.enqueue(event);
    else if (this.mode === 'undecided') this.early.push(event);
  }

  /** Reads the kept state; called early it saves the first event the wait. */
  open(): Promise<{ store: CaptureStore; state: State }> {
    this.opened ??= this.load();
    return this.opened;
  }

  /** Done when everything dispatched so far is handled. */
  settled(): Promise<void> {
    return this.queue;
  }

  private enqueue(event: Event): void {
    this.queue = this.queue.then(() => this.handle(event)).catch((error: unknown) => {
      // The state is read again from the store: memory may be ahead of it.
      this.opened = null;
      this.options.log(`capture: ${event.type}: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  private async handle(event: Event): Promise<void> {
    const { store, state } = await this.open();
    const { records, touched } = apply(state, event, this.options.newId);
    await store.save(state, touched, records);
    if (records.length > 0 || event.type === 'session' || event.type === 'beat') await this.handOver(store);
    this.schedule(state);
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
