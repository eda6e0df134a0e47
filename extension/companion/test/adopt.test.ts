/**
 * The worked example of docs/connect-your-extension.md: an extension that kept arrays in
 * `storage.local` and synced by itself hands over to the companion. Shapes as HeyHo's.
 */
import { describe, expect, it } from 'vitest';
import type { Companion, JsonObject } from '..';
import { World } from './world';

const T = 1_800_000_000_000;

function heyhoVisit(tabId: number, at: number, more: JsonObject = {}): JsonObject {
  const id = `pv_${at}_${tabId}`;
  return {
    id, visitId: id, tabId, url: `https://example.test/${at}`, domain: 'example.test', startedAt: at, timestamp: at,
    endedAt: at + 5_000, durationSeconds: 5, duration: 5_000, isActive: false, activeDuration: 4_000,
    idlePeriods: [], engagementRate: 0.8, lastHeartbeat: null, anonymousClientId: 'anon', ...more,
  };
}

function heyhoAggregate(tabId: number, startTime: number, more: JsonObject = {}): JsonObject {
  return {
    tabId, startTime, lastActiveTime: startTime + 9_000, totalActiveDuration: 9_000, domainDurations: { 'example.test': 9_000 },
    pageCount: 2, currentUrl: 'https://example.test/', currentDomain: 'example.test', anonymousClientId: 'anon', ...more,
  };
}

/** `chrome.storage.local`, as far as it is used. */
class LocalStorage {
  constructor(readonly values: { pageVisits: JsonObject[]; tabAggregates: JsonObject[] }) {}
  get = async (): Promise<{ pageVisits: JsonObject[]; tabAggregates: JsonObject[] }> => structuredClone(this.values);
}

// The example begins.
async function startCompanion(companion: Companion, storage: LocalStorage): Promise<void> {
  await companion.start();
  await companion.once('first-handover', async () => {
    const { pageVisits, tabAggregates } = await storage.get();
    const unsynced = (record: JsonObject): boolean => record['synced'] !== true;
    await companion.add('pageVisit', pageVisits.filter(unsynced));
    await companion.add('tabAggregate', tabAggregates.filter(unsynced));
  });
}

async function afterEachRun(companion: Companion, pageVisits: JsonObject[], tabAggregates: JsonObject[]): Promise<void> {
  await companion.add('pageVisit', pageVisits);
  await companion.add('tabAggregate', tabAggregates);
}
// The example ends.

describe('an extension that adopts the companion', () => {
  const stored = {
    pageVisits: [heyhoVisit(1, T, { synced: true }), heyhoVisit(1, T + 10_000), heyhoVisit(2, T + 20_000, { synced: false })],
    tabAggregates: [heyhoAggregate(1, T), heyhoAggregate(2, T + 20_000, { pageCount: 2.4e21 })],
  };

  it('hands its unsynced records over once, and no second time after a restart', async () => {
    const world = new World();
    const storage = new LocalStorage(stored);
    await startCompanion(world.client, storage);
    await world.until(() => world.host.committed.size === 4);
    expect([...world.host.committed.keys()].slice(0, 2)).toEqual([`pv_${T + 10_000}_1`, `pv_${T + 20_000}_2`]);
    expect(world.host.frames.flatMap((frame) => frame.tabAggregates)).toEqual(stored.tabAggregates);

    const before = world.host.frames.length;
    world.reborn();
    await startCompanion(world.client, storage);
    await world.until(() => world.client.state.link.at === 'ready');
    expect(await world.waiting()).toEqual([]);
    expect(world.host.frames).toHaveLength(before);
  });

  it('may break off in the middle: nothing is lost and nothing is doubled', async () => {
    const world = new World();
    world.host.installed = false;
    const storage = new LocalStorage(stored);
    await world.client.once('first-handover', async () => {
      await world.client.add('pageVisit', stored.pageVisits.slice(1, 2));
      throw new Error('the worker is stopped');
    }).catch(() => undefined);
    world.reborn();
    await startCompanion(world.client, storage);
    expect(await world.waiting()).toHaveLength(4);
  });

  it('repeats its active visit and its growing aggregates on every run: one record each waits', async () => {
    const world = new World();
    world.host.installed = false;
    await world.client.start();
    for (const run of [1, 2, 3]) {
      const active = heyhoVisit(7, T, { endedAt: null, isActive: true, activeDuration: run * 1_000 });
      await afterEachRun(world.client, [active], [heyhoAggregate(7, T, { pageCount: run, lastActiveTime: T + run })]);
    }
    const waiting = await world.waiting();
    expect(waiting.map((item) => item.id)).toEqual([`pv_${T}_7`, `agg_${T}_7`]);
    expect(waiting.map((item) => JSON.parse(item.text))).toMatchObject([{ activeDuration: 3_000 }, { pageCount: 3 }]);
  });
});
