/**
 * The recorder over real storage: a worker that dies between any two operations loses no
 * visit that it had begun to write, and gives none out twice.
 */
import 'fake-indexeddb/auto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject, Kind, Stamp } from '../../companion';
import { Recorder } from '../recorder';
import { CaptureStore } from '../store';

type Later = { type: 'committed'; tabId: number; url: string } | { type: 'closed'; tabId: number } | { type: 'beat' };

const T0 = 1_800_000_000_000;
let databases = 0;

/** The outbox, as far as the recorder sees it: the last version of each record. */
class Outbox {
  readonly records = new Map<string, { kind: Kind; record: JsonObject }>();
  /** `ref` of every version of each record. */
  readonly refs = new Map<string, (string | null | undefined)[]>();
  put = async (kind: Kind, records: JsonObject[], stamp?: Stamp): Promise<void> => {
    for (const record of records) {
      const id = String(record['id']);
      this.records.set(id, { kind, record });
      this.refs.set(id, [...(this.refs.get(id) ?? []), stamp?.ref]);
    }
  };
  visits(): JsonObject[] {
    return [...this.records.values()].filter((entry) => entry.kind === 'pageVisit').map((entry) => entry.record);
  }
}

/** Operations until the process dies; counts over store and outbox alike. */
class Life {
  constructor(private left = Infinity) {}
  /** Resolves never once the life is over. */
  async lives<T>(operation: () => Promise<T>): Promise<T> {
    this.left -= 1;
    if (this.left < 0) return new Promise(() => undefined);
    return operation();
  }
}

class World {
  readonly outbox = new Outbox();
  readonly name = `capture-${++databases}`;
  now = T0;
  private ids = 0;
  recorder = this.make(new Life());

  /** Of operations of the store that fail from now on. */
  failures = 0;
  readonly health: boolean[] = [];
  mayFail = false;
  /** The outbox takes nothing. */
  full = false;

  make(life: Life): Recorder {
    return new Recorder({
      openStore: async () => {
        const store = await CaptureStore.open(this.name);
        return new Proxy(store, {
          get: (target, name) => {
            const member = Reflect.get(target, name) as unknown;
            if (typeof member !== 'function') return member;
            return (...args: unknown[]) => {
              this.failures -= 1;
              if (this.failures >= 0) return Promise.reject(new Error(`${String(name)} fails`));
              return life.lives(() => (member as (...a: unknown[]) => Promise<unknown>).apply(target, args));
            };
          },
        });
      },
      newId: () => `id${++this.ids}`,
      now: () => this.now,
      after: () => () => undefined,
      hand: (kind, records, stamp) =>
        this.full ? Promise.reject(new Error('full')) : life.lives(() => this.outbox.put(kind, records, stamp)),
      log: (message) => {
        if (!this.mayFail) throw new Error(message);
      },
      onHealth: (ill) => this.health.push(ill),
    });
  }

  /** Five seconds later, that happens. */
  send(event: Later): void {
    this.now += 5_000;
    this.recorder.dispatch({ ...event, at: this.now });
  }

  /** What the browser shows now, as the worker asks after its start. */
  look(url: string | null): void {
    const tabs = [{ tabId: 1, windowId: 1, active: true, unloaded: false, url, title: '' }];
    this.recorder.dispatch({ type: 'reconciled', at: this.now, tabs, focusedWindow: 1, presence: 'active' });
  }
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 60; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('the recorder', () => {
  it('looks at nothing before it is known whether capture is on, and at what waited in its own time', async () => {
    const world = new World();
    world.send({ type: 'committed', tabId: 1, url: 'https://nobody.example/' });
    const waited = world.now;
    world.now += 8_000;
    world.recorder.start('s', waited);
    world.recorder.dispatch({ type: 'committed', at: waited, tabId: 1, url: 'https://a.example/' });
    world.recorder.dispatch({ type: 'closed', at: waited + 10_000, tabId: 1 });
    await turns();
    expect(world.outbox.visits()).toMatchObject([{ url: 'https://a.example/', startedAt: waited, duration: 10_000 }]);
  });

  it('ends what is open when capture is turned off, and takes nothing after', async () => {
    const world = new World();
    world.recorder.start('s');
    world.send({ type: 'committed', tabId: 1, url: 'https://a.example/' });
    world.now += 1_000;
    world.recorder.stop('s', world.now);
    world.send({ type: 'committed', tabId: 1, url: 'https://b.example/' });
    await turns();
    expect(world.outbox.visits()).toMatchObject([{ url: 'https://a.example/', endedAt: T0 + 6_000 }]);
    expect(world.outbox.visits()[0]).not.toHaveProperty('closedAt');
  });

  it.each([false, true])('no record is told under two accounts; the worker died between: %s', async (died) => {
    const world = new World();
    const account = (ref: string | null, signedOutOf: string | null = null): void => {
      world.recorder.dispatch({ type: 'account', at: world.now, stamp: { ref, signedOutOf } });
      world.look('https://a.example/');
    };
    world.recorder.start('s');
    account('A');
    world.send({ type: 'beat' });
    await turns();
    if (died) {
      world.recorder = world.make(new Life());
      world.recorder.start('s');
    }
    for (const [ref, signedOutOf] of [[null, 'A'], ['B', null]] as const) {
      world.now += 5_000;
      account(ref, signedOutOf);
      world.send({ type: 'beat' });
    }
    world.send({ type: 'closed', tabId: 1 });
    await world.recorder.settled();
    const visits = world.outbox.visits();
    expect(visits.map((visit) => visit['duration'])).toEqual([10_000, 10_000, 10_000]);
    expect(visits.map((visit) => new Set(world.outbox.refs.get(String(visit['id']))))).toEqual([new Set(['A']), new Set([null]), new Set(['B'])]);
    const lives = [...world.outbox.records].filter(([, { kind }]) => kind === 'tabAggregate');
    expect(lives.map(([id]) => new Set(world.outbox.refs.get(id)))).toEqual([new Set(['A']), new Set([null]), new Set(['B'])]);
    expect(lives.map(([, { record }]) => record['domainDurations'])).toEqual(Array.from({ length: 3 }, () => ({ 'a.example': 10_000 })));
  });

  it.each([0, 1, 2, 3])('heals where the store failed at operation %i: what was missed is found', async (before) => {
    const world = new World();
    const begin = (): void => {
      world.recorder.start('s');
      world.look('https://a.example/');
    };
    begin();
    await world.recorder.settled();
    // At the next page; at its end; at the look that should have mended it.
    for (let n = 0; n < before; n++) world.send({ type: 'committed', tabId: 1, url: `https://b.example/${n}` });
    await world.recorder.settled();
    [world.mayFail, world.failures] = [true, 2];
    world.send({ type: 'committed', tabId: 1, url: 'https://missed.example/' });
    world.send({ type: 'committed', tabId: 1, url: 'https://there.example/' });
    await world.recorder.settled();
    expect([world.recorder.unwell, world.health]).toEqual([true, [true]]);
    for (let beats = 0; world.recorder.unwell && beats < 3; beats++) {
      world.now += 30_000;
      world.recorder.start('s');
      world.look('https://there.example/');
      await world.recorder.settled();
    }
    expect(world.health).toEqual([true, false]);
    world.send({ type: 'closed', tabId: 1 });
    await world.recorder.settled();
    const visits = world.outbox.visits();
    expect(visits.map((visit) => visit['isActive'])).not.toContain(true);
    expect(visits.map((visit) => visit['url'])).toContain('https://there.example/');
    expect(visits.at(-1)).toMatchObject({ url: 'https://there.example/', duration: 5_000 });
  });

  it('after a failure ends what another run of the browser left open when that was seen last', async () => {
    const world = new World();
    world.recorder.start('s');
    world.send({ type: 'committed', tabId: 1, url: 'https://a.example/' });
    await world.recorder.settled();
    world.recorder = world.make(new Life());
    [world.mayFail, world.failures] = [true, 1];
    world.now += 3_600_000;
    world.recorder.start('s2');
    world.send({ type: 'beat' });
    await world.recorder.settled();
    world.now += 30_000;
    world.recorder.start('s2');
    world.look(null);
    await world.recorder.settled();
    expect(world.outbox.visits()).toMatchObject([{ url: 'https://a.example/', endedAt: T0 + 5_000 }]);
    expect(world.recorder.unwell).toBe(false);
  });

  it('forgets a site in what is open, and in what could not be handed over yet', async () => {
    const world = new World();
    world.recorder.start('s');
    world.send({ type: 'committed', tabId: 1, url: 'https://secret.example/1' });
    [world.mayFail, world.full] = [true, true];
    world.send({ type: 'committed', tabId: 1, url: 'https://kept.example/' });
    world.send({ type: 'committed', tabId: 1, url: 'https://secret.example/2' });
    await world.recorder.settled();
    world.recorder.start('s');
    world.look('https://secret.example/2');
    const of = (url: unknown): boolean => String(url).includes('secret.example');
    await world.recorder.forget({
      admit: (url) => (of(url) ? null : url),
      keep: (_, record) => (of(record['url']) ? null : { ...record, seen: true }),
    });
    world.full = false;
    world.recorder.start('s');
    world.look(null);
    await world.recorder.settled();
    const said = JSON.stringify(world.outbox.visits());
    expect(said).toContain('kept.example');
    expect(said).not.toContain('secret.example');
  });

  it('of a site that is forgotten names every visit that it knows, also one that has ended', async () => {
    const world = new World();
    world.recorder.start('s');
    world.send({ type: 'committed', tabId: 1, url: 'https://secret.example/1' });
    for (const tabId of [2, 3]) world.recorder.dispatch({ type: 'openedFrom', at: world.now, tabId, sourceTabId: 1 });
    world.send({ type: 'committed', tabId: 2, url: 'https://secret.example/2' });
    world.send({ type: 'committed', tabId: 1, url: 'https://kept.example/' });
    const named = new Set<unknown>();
    await world.recorder.forget({
      admit: (url) => (url.includes('secret') ? null : url),
      keep: (_, record) => (String(record['url']).includes('secret') ? (named.add(record['id']), null) : record),
    });
    const [ended] = world.outbox.visits();
    expect([ended?.['url'], named.size, named.has(ended?.['id'])]).toEqual(['https://secret.example/1', 2, true]);
  });

  it('says that a site could not be forgotten, and forgets it when it is asked again', async () => {
    const world = new World();
    world.recorder.start('s');
    world.send({ type: 'committed', tabId: 1, url: 'https://secret.example/' });
    await world.recorder.settled();
    const forget = (): Promise<void> =>
      world.recorder.forget({ admit: (url) => (url.includes('secret') ? null : url), keep: (_, record) => record });
    [world.mayFail, world.failures] = [true, 1];
    await expect(forget()).rejects.toThrow('fails');
    expect(world.recorder.unwell).toBe(true);
    // Though it has not been started again since.
    await forget();
    world.now += 30_000;
    world.recorder.start('s');
    world.look(null);
    await world.recorder.settled();
    expect([world.recorder.unwell, world.outbox.visits()]).toEqual([false, []]);
  });

  it.each(['s', 's2'])('forgets what another worker left open, before it begins with session %s', async (session) => {
    const world = new World();
    world.recorder.start('s');
    world.send({ type: 'committed', tabId: 1, url: 'https://secret.example/' });
    await world.recorder.settled();
    world.recorder = world.make(new Life());
    world.now += 3_600_000;
    await world.recorder.forget({ admit: (url) => (url.includes('secret') ? null : url), keep: (_, record) => record });
    world.recorder.start(session);
    // It is still there, and nobody has gone there.
    world.look('https://secret.example/');
    world.send({ type: 'beat' });
    await world.recorder.settled();
    expect(world.outbox.visits().filter((visit) => Number(visit['startedAt']) < world.now - 10_000)).toEqual([]);
    // In another run of the browser its tabs are others.
    expect(world.outbox.visits()).toHaveLength(session === 's' ? 0 : 1);
  });

  it('what was nobody\'s goes on under the first account', async () => {
    const world = new World();
    world.recorder.start('s');
    for (const ref of [null, 'A']) {
      world.recorder.dispatch({ type: 'account', at: world.now, stamp: { ref, signedOutOf: null } });
      world.look('https://a.example/');
      world.send({ type: 'beat' });
    }
    await turns();
    expect(world.outbox.visits()).toHaveLength(1);
  });

  it.each([
    ['in the same run of the browser', 's', T0 + 20_000],
    ['after the browser was started again', 's2', T0 + 5_000],
  ])('a pause that its worker did not live to hear of ends what was open, %s', async (_, session, end) => {
    const world = new World();
    world.recorder.start('s');
    world.send({ type: 'committed', tabId: 1, url: 'https://a.example/' });
    await turns();
    const since = T0 + 20_000;
    // The next worker learns of it an hour later, is woken by a page, and the pause ends after another hour.
    world.now += 3_600_000;
    world.recorder = world.make(new Life());
    world.send({ type: 'committed', tabId: 1, url: 'https://paused.example/' });
    world.recorder.stop(session, since);
    world.send({ type: 'committed', tabId: 1, url: 'https://paused.example/2' });
    await turns();
    world.now += 3_600_000;
    world.recorder.start(session);
    world.look('https://paused.example/2');
    const resumed = world.now;
    world.send({ type: 'closed', tabId: 1 });
    await turns();
    expect(world.outbox.visits()).toMatchObject([
      { url: 'https://a.example/', endedAt: end },
      { url: 'https://paused.example/2', startedAt: resumed, duration: 5_000 },
    ]);
  });

  it('whatever operation a worker dies at: each page of the script is one visit, ended', async () => {
    const deaths = fc.array(fc.record({ afterPage: fc.nat(7), operations: fc.nat(12) }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(deaths, async (plan) => {
        const world = new World();
        world.recorder.start('s');
        world.look(null);
        const pages = Array.from({ length: 8 }, (_, i) => `https://page${i}.example/`);
        for (const [i, url] of pages.entries()) {
          const death = plan.find((d) => d.afterPage === i);
          if (death !== undefined) {
            // This worker dies at some operation while it handles the page, or the beat after it.
            world.recorder = world.make(new Life(death.operations));
            world.recorder.start('s');
          }
          world.send({ type: 'committed', tabId: 1, url });
          await turns();
          world.send({ type: 'beat' });
          await turns();
          if (death === undefined) continue;
          world.recorder = world.make(new Life());
          world.recorder.start('s');
          world.look(url);
          await turns();
        }
        world.send({ type: 'closed', tabId: 1 });
        await turns();
        const visits = world.outbox.visits().sort((a, b) => Number(a['startedAt']) - Number(b['startedAt']));
        expect(visits.map((visit) => visit['url'])).toEqual(pages);
        expect(visits.every((visit) => visit['isActive'] === false)).toBe(true);
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
