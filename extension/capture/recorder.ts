/**
 * Runs the machine: one event after the other, state saved before anything leaves.
 *
 * Invariants
 * - The first event handled is `session`, given to `start`. Before it, and while capture is off, none is looked at.
 * - Records go state → pending → outbox; a break anywhere repeats the last step.
 * - After a failure nothing is handled until `start` or `stop` is called again, and it is unwell until the look at
 *   the browser that follows was handled: what was missed is found then.
 */
import type { Forgetting, JsonObject, Kind, Stamp } from '../companion';
import { apply, known, nextDue } from './machine';
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

export class Recorder {
  /** There is something in the store that is to be handed over, or could not be. */
  private owes = false;
  private opened: Promise<{ store: CaptureStore; state: State }> | null = null;
  private queue: Promise<void> = Promise.resolve();
  private mode: 'undecided' | 'on' | 'off' = 'undecided';
  private failed = false;
  /** It has failed, and the session's name has not been handled since. */
  private astray = false;
  private cancelTick: (() => void) | null = null;

  constructor(private readonly options: RecorderOptions) {}

  /** Whether it has to be started, or stopped, again: it never was, or something has failed since. */
  get unwell(): boolean {
    return this.failed || this.mode === 'undecided';
  }

  /** Whether the browser's events are looked at. */
  get on(): boolean {
    return this.mode === 'on';
  }

  /** Begins with the browser session's name, and with the moment of the first event that will follow. */
  start(session: string, at = this.options.now()): void {
    if (this.mode === 'on' && !this.failed) return;
    this.mode = 'on';
    this.enqueue({ type: 'session', at, session });
  }

  /**
   * Capture is off since `at`: what was open ended then, what arrives is not looked at. That holds as well for what
   * a worker left open that was killed before it heard of it.
   */
  stop(session: string, at: number): void {
    if (this.mode === 'off' && !this.failed) return;
    this.mode = 'off';
    this.enqueue({ type: 'session', at: this.options.now(), session });
    this.enqueue({ type: 'stopped', at });
  }

  /** New privacy rules hold for what is open, whatever the mode: what was kept is read again at the next start. */
  readmit(admit: (url: string) => string | null): void {
    this.run('rules', () => this.sift(admit, false)).catch(() => undefined);
  }

  /** A site is forgotten, also in what was not handed over yet. Done when nothing of it can be added any more. */
  forget({ admit, keep }: Forgetting): Promise<void> {
    return this.run('forget', async () => {
      const { store, state } = await this.open();
      for (const visit of known(state)) keep('pageVisit', visit);
      await this.sift(admit, true);
      await store.rewrite((one) => {
        const record = keep(one.kind, one.record);
        return record === null ? null : { ...one, record };
      });
    });
  }

  dispatch(event: Event): void {
    if (this.mode === 'on') this.enqueue(event);
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
    this.run(event.type, () => this.handle(event)).catch(() => undefined);
  }

  /** In its turn; a failure is told to whoever waits for this, and goes no further. */
  private run(name: string, task: () => Promise<void>): Promise<void> {
    const done = this.queue.then(task);
    this.queue = done.catch((error: unknown) => {
      // The state is read again from the store: memory may be ahead of it.
      this.opened = null;
      this.astray = true;
      this.become(true);
      this.options.log(`capture: ${name}: ${error instanceof Error ? error.message : String(error)}`);
    });
    return done;
  }

  /** At the moment that was seen last: nothing is known of the time since, which belongs to the event that follows. */
  private async sift(admit: (url: string) => string | null, forget: boolean): Promise<void> {
    const { store, state } = await this.open();
    const records = await this.step(store, state, { type: 'readmitted', at: state.core.seenAt, admit, forget });
    this.owes ||= records.length > 0;
  }

  /** What came of it, saved. */
  private async step(store: CaptureStore, state: State, event: Event): Promise<Emitted[]> {
    const { records, touched } = apply(state, event, this.options.newId);
    await store.save(state, touched, records);
    return records;
  }

  private async handle(event: Event): Promise<void> {
    if (this.astray && event.type !== 'session') return;
    const { store, state } = await this.open();
    const records = await this.step(store, state, event);
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
