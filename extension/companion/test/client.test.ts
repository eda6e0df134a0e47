import { describe, expect, it } from 'vitest';
import { IdbOutbox } from '..';
import { idle, visit, World } from './world';

const empty = (world: World) => async (): Promise<boolean> => (await world.waiting()).length === 0;

describe('the companion client', () => {
  it('keeps a record until the host acknowledges it, then lets it go', async () => {
    const world = new World();
    await world.client.add('pageVisit', [visit('a')]);
    expect(await world.waiting()).toHaveLength(1);
    await world.client.start();
    await world.until(empty(world));
    expect([...world.host.committed.keys()]).toEqual(['a']);
    expect(world.client.state.outbox).toEqual({ pageVisits: 0, tabAggregates: 0 });
  });

  it('says hello with one profile id for ever', async () => {
    const world = new World();
    await world.client.start();
    await world.until(() => world.host.hellos.length === 1);
    world.reborn();
    await world.client.start();
    await world.until(() => world.host.hellos.length === 2);
    expect(world.host.hellos[0]).not.toBe('');
    expect(world.host.hellos[0]).toBe(world.host.hellos[1]);
  });

  it('says that the outbox cannot be read, and says it no more when it can', async () => {
    const world = new World();
    let failures = 1;
    world.client = world.make((store) => {
      const counts = store.counts.bind(store);
      store.counts = async () => {
        if (world.client.state.link.at === 'ready' && failures-- > 0) throw new Error('not now');
        return counts();
      };
      return store;
    });
    await world.client.start();
    await world.until(() => world.client.state.problem?.code === 'outbox', true);
    world.host.installed = false;
    await world.client.add('pageVisit', [visit('a')]);
    expect(world.client.state.problem).toBeNull();
  });

  it('takes what has no name for no answer to its frame, but a length that is not taken', async () => {
    const world = new World();
    world.host.script = ['late-ack'];
    await world.client.start();
    await world.client.add('pageVisit', [visit('a'), visit('b')]);
    await world.until(() => world.host.frames.length === 1);
    world.host.push({ type: 'error', code: 'bad_message', error: 'the answer is too large for the browser' });
    await idle();
    expect(world.client.state.problem).toBeNull();
    world.host.release();
    await world.until(empty(world));
    expect(world.host.frames.map((frame) => frame.pageVisits.length)).toEqual([2]);
  });

  it('keeps records while no host is installed and delivers them once there is one', async () => {
    const world = new World();
    world.host.installed = false;
    await world.client.start();
    await world.client.add('pageVisit', [visit('a'), visit('b')]);
    await world.until(() => world.client.state.link.at === 'waiting');
    expect(world.client.state.link).toMatchObject({ at: 'waiting', why: 'no_host' });
    world.host.installed = true;
    await world.until(empty(world), true);
    expect([...world.host.committed.keys()]).toEqual(['a', 'b']);
  });

  it('sends at most 200 records a frame, oldest first', async () => {
    const world = new World();
    await world.client.add('pageVisit', Array.from({ length: 450 }, (_, i) => visit(`v${i}`)));
    await world.client.start();
    await world.until(empty(world));
    expect(world.host.frames.map((frame) => frame.pageVisits.length)).toEqual([200, 200, 50]);
    expect([...world.host.committed.keys()]).toEqual(Array.from({ length: 450 }, (_, i) => `v${i}`));
  });

  it('sends at most 4 MB a frame', async () => {
    const world = new World();
    const title = 'x'.repeat(1_500_000);
    await world.client.add('pageVisit', ['a', 'b', 'c'].map((id) => ({ ...visit(id), title })));
    await world.client.start();
    await world.until(empty(world));
    expect(world.host.frames.map((frame) => frame.pageVisits.length)).toEqual([2, 1]);
  });

  it('refuses a record that no frame can carry, says its size, and keeps its neighbours', async () => {
    const world = new World();
    const record = { ...visit('big'), title: 'x'.repeat(33_600_000) };
    await expect(world.client.add('pageVisit', [visit('a'), record, visit('b')])).rejects.toThrow(/pageVisit big has 33600\d+ bytes; at most/);
    expect((await world.waiting()).map((item) => item.id)).toEqual(['a', 'b']);
  });

  it('keeps to the limits the host names', async () => {
    const world = new World();
    world.host.maxRecords = 3;
    await world.client.add('tabAggregate', ['a', 'b', 'c', 'd'].map((id) => ({ id, tabId: 1, startTime: 1 })));
    await world.client.start();
    await world.until(empty(world));
    expect(world.host.frames.map((frame) => frame.tabAggregates.length)).toEqual([3, 1]);
  });

  it('replaces a waiting version by a newer one, in its place', async () => {
    const world = new World();
    await world.client.add('pageVisit', [visit('a', 1), visit('b', 1)]);
    await world.client.add('pageVisit', [visit('a', 2)]);
    expect((await world.waiting()).map((item) => JSON.parse(item.text))).toEqual([visit('a', 2), visit('b', 1)]);
  });

  it('keeps a version that came while an older one was in flight', async () => {
    const world = new World();
    world.host.script = ['silent'];
    await world.client.start();
    await world.client.add('pageVisit', [visit('a', 1)]);
    await world.until(() => world.host.frames.length === 1);
    await world.client.add('pageVisit', [visit('a', 2)]);
    const counts = { stored: 1, updated: 0, unchanged: 0, filtered: 0, rejected: [], rejectedMore: 0 };
    world.host.push({ type: 'ack', id: world.host.frames[0]?.id, ...counts });
    await world.until(empty(world));
    expect(world.host.frames.map((frame) => frame.pageVisits[0])).toEqual([visit('a', 1), visit('a', 2)]);
  });

  it('does not take an ack whose counts do not add up for an ack', async () => {
    const world = new World();
    world.host.script = ['short-count'];
    await world.client.start();
    await world.client.add('pageVisit', [visit('a'), visit('b')]);
    await world.until(() => world.client.state.problem?.code === 'ack_mismatch');
    expect(await world.waiting()).toHaveLength(2);
    await world.until(empty(world), true);
    expect(world.host.hellos).toHaveLength(2);
    expect(world.host.committed.size).toBe(2);
  });

  it('deletes nothing for an ack of a frame it did not send', async () => {
    const world = new World();
    world.host.script = ['silent'];
    await world.client.start();
    await world.client.add('pageVisit', [visit('a')]);
    await world.until(() => world.host.frames.length === 1);
    world.host.push({ type: 'ack', id: 'other', stored: 1, updated: 0, unchanged: 0, filtered: 0, rejected: [], rejectedMore: 0 });
    await idle();
    expect(await world.waiting()).toHaveLength(1);
  });

  it('waits as long as a nack asks, then sends the same again', async () => {
    const world = new World();
    world.host.script = ['nack'];
    await world.client.start();
    await world.client.add('pageVisit', [visit('a')]);
    await world.until(() => world.client.state.problem?.code === 'buffer_full');
    const before = world.clock.now();
    await world.client.add('pageVisit', [visit('b')]);
    await idle();
    expect(world.host.frames).toHaveLength(1);
    await world.until(empty(world), true);
    expect(world.clock.now() - before).toBeGreaterThanOrEqual(2_000);
    expect(world.client.state.problem).toBeNull();
  });

  it.each(['too-many', 'too-large', 'die', 'bad-message'] as const)('halves its frames after "%s" and recovers', async (behaviour) => {
    const world = new World();
    world.host.script = [behaviour, behaviour];
    await world.client.add('pageVisit', Array.from({ length: 200 }, (_, i) => visit(`v${i}`)));
    await world.client.start();
    await world.until(empty(world), true);
    expect(world.host.frames.map((frame) => frame.pageVisits.length)).toEqual([200, 100, 50, 100, 50]);
    expect(world.host.committed.size).toBe(200);
  });

  it('sets a record aside that brings the host down alone, and keeps it', async () => {
    const world = new World();
    world.host.poison = 'bad';
    await world.client.add('pageVisit', [visit('a'), visit('bad'), visit('b'), visit('c')]);
    await world.client.start();
    await world.until(() => world.host.committed.size === 3, true);
    expect((await world.waiting()).map((item) => item.id)).toEqual(['bad']);
    world.host.poison = null;
    world.client.wake(true);
    await world.until(empty(world), true);
    expect(world.host.committed.has('bad')).toBe(true);
  });

  it('however many records bring the host down, the others go on', async () => {
    const world = new World();
    world.host.poison = 'bad';
    await world.client.add('pageVisit', [...Array.from({ length: 7 }, (_, i) => visit(`bad${i}`)), visit('a'), visit('b')]);
    await world.client.start();
    await world.until(() => world.host.committed.size === 2, true);
    expect(await world.waiting()).toHaveLength(7);
    world.host.poison = null;
    await world.until(empty(world), true);
    expect(world.host.committed.size).toBe(9);
  });

  it('carries a record without an identity, so that the host can say what is wrong with it', async () => {
    const world = new World();
    await world.client.start();
    await world.client.add('pageVisit', [{ url: 'https://example.test/' }, { url: 'https://example.test/' }]);
    await world.until(empty(world));
    expect(world.host.frames.flatMap((frame) => frame.pageVisits)).toHaveLength(2);
  });

  it('tells status and state to its subscribers', async () => {
    const world = new World();
    const seen: string[] = [];
    world.client.subscribe((state) => seen.push(state.link.at));
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    expect(world.client.state.status).toMatchObject({ state: 'waiting', agentRunning: true });
    expect([...new Set(seen)]).toEqual(['stopped', 'connecting', 'ready']);
  });

  it('asks for the status as it is when a page opens', async () => {
    const world = new World();
    await world.client.start();
    await world.until(() => world.client.state.status?.account === null);
    world.host.account = { ref: 'acc', email: 'a@example.test' };
    world.client.wake(true);
    await world.until(() => world.client.state.status?.account?.ref === 'acc');
  });

  it('answers sync with the words of the host, and says so where there is none', async () => {
    const world = new World();
    await world.client.start();
    await world.until(() => world.client.state.link.at === 'ready');
    expect(await world.client.sync()).toEqual({ accepted: false, reason: 'signed_out' });
    world.host.installed = false;
    world.host.die();
    const asked = world.client.sync();
    let answer: unknown = null;
    void asked.then((result) => (answer = result));
    await world.until(() => answer !== null, true);
    expect(answer).toEqual({ accepted: false, reason: 'not_connected' });
  });

  it('connects anew where the rules of a welcome could not be kept, and sends nothing before they are', async () => {
    const world = new World();
    let failures = 1;
    const store = await IdbOutbox.open(world.name);
    world.client = world.make(() => new Proxy(store, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => {
          if (name === 'setMeta' && args[0] === 'rules' && --failures >= 0) return Promise.reject(new Error('full'));
          return (member as (...a: unknown[]) => unknown).apply(target, args);
        };
      },
    }));
    world.host.rules = [{ id: 'r', match: 'host', pattern: 'bank.example', action: 'drop' }];
    await world.client.start();
    await world.until(() => world.client.state.problem !== null);
    expect(world.client.state.problem?.code).toBe('outbox');
    await world.client.add('pageVisit', [visit('a')]);
    expect(world.host.frames).toHaveLength(0);
    await world.until(empty(world), true);
    expect([world.host.hellos.length, [...world.host.committed.keys()]]).toEqual([2, ['a']]);
    expect(await store.getMeta('rules')).toEqual(world.host.rules);
  });

  it('starts anew when the host says nothing at all', async () => {
    const world = new World();
    world.host.script = ['silent'];
    await world.client.start();
    await world.client.add('pageVisit', [visit('a')]);
    await world.until(empty(world), true);
    expect(world.host.hellos).toHaveLength(2);
  });

  it('does not hammer a host that speaks another protocol', async () => {
    const world = new World();
    await world.client.start();
    world.host.push({ type: 'error', code: 'unsupported_protocol', supported: [2] });
    await idle();
    expect(world.client.state.link).toMatchObject({ at: 'waiting', why: 'unsupported_protocol', retryAt: world.clock.now() + 60_000 });
  });
});
