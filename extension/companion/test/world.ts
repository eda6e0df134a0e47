/**
 * A world for the client: a clock that only tests move, a host that keeps what it
 * commits and misbehaves on demand, and a store that can die at any operation.
 */
import 'fake-indexeddb/auto';
import { Companion, type Connect, IdbOutbox, type OutboxStore, type PortEvents, type Rule } from '..';
import type { Clock } from '../clock';

export class ManualClock implements Clock {
  private time = 1_800_000_000_000;
  private timers: { at: number; task: () => void }[] = [];
  private ids = 0;
  now = (): number => this.time;
  random = (): number => 0;
  uuid = (): string => `u${++this.ids}`;
  after = (ms: number, task: () => void): (() => void) => {
    const timer = { at: this.time + ms, task };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  };
  /** Jumps to the next timer and runs it; without one, 30 s pass. */
  next(): void {
    const timer = this.timers.sort((a, b) => a.at - b.at).shift();
    this.time = Math.max(this.time, timer?.at ?? this.time + 30_000);
    timer?.task();
  }
}

export type Behaviour =
  | 'ack' | 'late-ack' | 'commit-then-die' | 'die' | 'nack' | 'too-many' | 'too-large' | 'short-count' | 'silent' | 'bad-message';

type Sent = { id?: string; startTime?: number; tabId?: number };

interface Frame {
  type: string;
  id: string;
  accountRef?: string;
  pageVisits: Sent[];
  tabAggregates: Sent[];
  client?: { profileId: string };
}

export class FakeHost {
  /** What survives: the latest version of each record, as its JSON text. */
  readonly committed = new Map<string, string>();
  readonly frames: Frame[] = [];
  readonly hellos: string[] = [];
  installed = true;
  account: { ref: string; email: string } | null = null;
  /** False: it cannot read who is signed in, and says nothing of it. */
  tellsAccount = true;
  /** Null: it cannot read them, and says none. */
  rules: Rule[] | null = [];
  maxRecords = 1_000;
  /** Taken one a frame; `ack` when none is left. */
  script: Behaviour[] = [];
  /** A record whose id begins so brings the host down. */
  poison: string | null = null;
  private port: PortEvents | null = null;
  private late: (() => void)[] = [];

  readonly connect: Connect = (events) => {
    if (!this.installed) {
      queueMicrotask(() => events.onClose('Specified native messaging host not found.'));
      return { send: () => undefined, close: () => undefined };
    }
    this.port = events;
    return {
      send: (frame) => queueMicrotask(() => this.port === events && this.take(events, structuredClone(frame) as Frame)),
      close: () => {
        if (this.port === events) this.port = null;
      },
    };
  };

  push(frame: unknown): void {
    this.port?.onFrame(frame);
  }

  /** Says the acks that were held back. */
  release(): void {
    for (const say of this.late.splice(0)) say();
  }

  die(): void {
    const port = this.port;
    this.port = null;
    port?.onClose('Native host has exited.');
  }

  status(): unknown {
    return {
      type: 'status', id: 'status', state: this.tellsAccount ? 'waiting' : 'buffer_problem', reason: null, backlog: { pageVisits: 1, tabAggregates: 0 },
      failed: 0, lastConfirmedAt: null, nextAttemptAt: null, account: this.tellsAccount ? this.account : null, agentRunning: true,
    };
  }

  private take(events: PortEvents, frame: Frame): void {
    if (frame.type === 'hello') {
      this.hellos.push(frame.client?.profileId ?? '');
      const limits = { maxRecords: this.maxRecords, maxMessageBytes: 33_554_432 };
      events.onFrame({ type: 'welcome', protocol: 1, features: [], limits, ...(this.tellsAccount ? { account: this.account } : {}), ...(this.rules === null ? {} : { rules: this.rules }) });
    } else if (frame.type === 'subscribe' || frame.type === 'status') {
      events.onFrame(this.status());
    } else if (frame.type === 'sync') {
      events.onFrame({ type: 'syncRequested', id: frame.id, accepted: false, reason: 'signed_out' });
    } else if (frame.type === 'records') {
      this.records(events, frame);
    }
  }

  private records(events: PortEvents, frame: Frame): void {
    this.frames.push(frame);
    const records = [...frame.pageVisits, ...frame.tabAggregates];
    const { poison } = this;
    if (poison !== null && records.some((record) => record.id?.startsWith(poison))) {
      this.die();
      return;
    }
    const behaviour = this.script.shift() ?? 'ack';
    if (behaviour === 'ack' || behaviour === 'late-ack' || behaviour === 'commit-then-die') {
      for (const record of records) this.committed.set(record.id ?? `agg_${record.startTime}_${record.tabId}`, JSON.stringify(record));
    }
    const counts = { stored: records.length, updated: 0, unchanged: 0, filtered: 0, rejected: [], rejectedMore: 0 };
    const error = (code: string): void => events.onFrame({ type: 'error', id: frame.id, code, error: code });
    switch (behaviour) {
      case 'ack':
        events.onFrame({ type: 'ack', id: frame.id, ...counts });
        break;
      case 'late-ack':
        this.late.push(() => this.port === events && events.onFrame({ type: 'ack', id: frame.id, ...counts }));
        break;
      case 'short-count':
        events.onFrame({ type: 'ack', id: frame.id, ...counts, stored: records.length - 1 });
        break;
      case 'nack':
        events.onFrame({ type: 'nack', id: frame.id, code: 'buffer_full', error: 'full', retryAfterMs: 2_000 });
        break;
      case 'too-many':
        error('too_many_records');
        break;
      case 'bad-message':
        error('bad_message');
        break;
      case 'too-large':
        events.onFrame({ type: 'error', code: 'message_too_large', error: 'too large' });
        this.die();
        break;
      case 'die':
      case 'commit-then-die':
        this.die();
        break;
      case 'silent':
        break;
    }
  }
}

/** The store of a process that dies: after `operations` more of them nothing happens any more. */
export function mortal(store: OutboxStore, operations: number, halfway: boolean): OutboxStore {
  let left = operations;
  return new Proxy(store, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]) => {
        left -= 1;
        // At the fatal operation the commit may have happened although nobody learns of it.
        if (left === 0 && halfway) await (member as (...a: unknown[]) => Promise<unknown>).apply(target, args);
        if (left <= 0) return new Promise(() => undefined);
        return (member as (...a: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

let databases = 0;

export class World {
  readonly clock = new ManualClock();
  readonly host = new FakeHost();
  readonly name = `outbox-${++databases}`;
  /** Ends with its process: what is dead has no timers and opens no port. */
  private life = { over: false };
  client: Companion;

  constructor() {
    this.client = this.make();
  }

  make(wrap: (store: OutboxStore) => OutboxStore = (store) => store): Companion {
    const life = (this.life = { over: false });
    const nobody = { send: () => undefined, close: () => undefined };
    return new Companion({
      client: { name: 'test', version: '1', browser: 'none', browserVersion: '0' },
      connect: (events) => (life.over ? nobody : this.host.connect(events)),
      clock: { ...this.clock, after: (ms, task) => this.clock.after(ms, () => life.over || task()) },
      openStore: async () => wrap(await IdbOutbox.open(this.name)),
    });
  }

  /** The process is gone, and another one starts on the same storage. */
  reborn(wrap?: (store: OutboxStore) => OutboxStore): void {
    this.life.over = true;
    this.host.die();
    this.client = this.make(wrap);
  }

  /** What waits, read past the client. */
  async waiting(): Promise<{ id: string; text: string }[]> {
    const store = await IdbOutbox.open(this.name);
    const items = await store.head({ records: 10_000, bytes: Infinity }, Infinity, () => '');
    store.close();
    return items.map(({ id, text }) => ({ id, text }));
  }

  /** Lets what is under way finish; with `time`, also what waits for a timer. */
  async until(condition: () => boolean | Promise<boolean>, time = false): Promise<void> {
    for (let turn = 0; turn < 2_000; turn++) {
      await idle();
      if (await condition()) return;
      if (!time) continue;
      this.clock.next();
      // As the browser's alarm does.
      this.client.wake();
    }
    throw new Error('the condition did not come true within 2,000 turns');
  }
}

/** IndexedDB of the tests answers in immediates: some turns of the loop let it finish. */
export async function idle(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export function visit(id: string, version = 0): { id: string; url: string; visited_at: number; duration: number } {
  return { id, url: `https://example.test/${id}`, visited_at: 1_800_000_000_000, duration: version };
}
