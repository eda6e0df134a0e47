import { describe, expect, it } from 'vitest';
import { AccountBook } from '../account';
import { idle, visit, World } from './world';

const A = { ref: 'acc-a', email: 'a@example.test' };
const B = { ref: 'acc-b', email: 'b@example.test' };

describe('the account of a record', () => {
  it('is the one of its capture: what A left in the outbox is delivered as A\'s after B signed in', async () => {
    const world = new World();
    world.host.account = A;
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    world.host.installed = false;
    world.host.die();
    await world.client.add('pageVisit', [visit('of-a')]);

    world.host.account = B;
    world.host.installed = true;
    await world.until(async () => (await world.waiting()).length === 0, true);
    await world.client.add('pageVisit', [visit('of-b')]);
    await world.until(() => world.host.frames.length === 2);
    expect(world.host.frames.map((frame) => [frame.accountRef, frame.pageVisits[0]?.id])).toEqual([
      ['acc-a', 'of-a'],
      ['acc-b', 'of-b'],
    ]);
  });

  it('of a record that grew under A is A\'s also where its end is added under B', async () => {
    const world = new World();
    world.host.account = A;
    let told = 0;
    world.client.onAccount(() => told++);
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    const stamp = world.client.stamp;
    world.host.account = B;
    world.host.push(world.host.status());
    await world.until(() => told === 2);
    await world.client.add('pageVisit', [visit('of-a')], stamp);
    await world.client.add('pageVisit', [visit('of-b')]);
    await world.until(async () => (await world.waiting()).length === 0, true);
    expect(world.host.frames.map((frame) => [frame.accountRef, frame.pageVisits[0]?.id])).toEqual([
      ['acc-a', 'of-a'],
      ['acc-b', 'of-b'],
    ]);
  });

  it('goes on while the host cannot tell it, and ends nothing that is open', async () => {
    const world = new World();
    world.host.account = A;
    let told = 0;
    world.client.onAccount(() => told++);
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    const problem = world.host.status() as object;
    world.host.push({ ...problem, state: 'buffer_problem', account: null });
    await world.until(() => world.client.state.status?.state === 'buffer_problem');
    world.host.tellsAccount = false;
    world.host.die();
    await world.until(() => world.host.hellos.length === 2, true);
    await idle();
    expect([told, world.client.stamp.ref]).toEqual([1, 'acc-a']);
    world.host.tellsAccount = true;
    world.host.account = null;
    world.host.push(world.host.status());
    await world.until(() => told === 2);
    expect(world.client.stamp).toEqual({ ref: null, signedOutOf: 'acc-a' });
  });

  it('is waited for where a welcome cannot tell it: the first status does', async () => {
    const world = new World();
    world.host.account = A;
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    world.reborn();
    world.host.tellsAccount = false;
    const status = world.host.status.bind(world.host);
    world.host.status = () => ({ type: 'held back' });
    await world.client.start();
    let informed = false;
    void world.client.informed(60_000).then(() => {
      informed = true;
    });
    await world.until(() => world.client.state.link.at === 'ready');
    await idle();
    expect(informed).toBe(false);
    [world.host.tellsAccount, world.host.account] = [true, B];
    world.host.push(status());
    await world.until(() => informed);
    expect(world.client.stamp.ref).toBe('acc-b');
  });

  it('survives a restart of the worker before the host is reached', async () => {
    const world = new World();
    world.host.account = A;
    await world.client.start();
    await world.until(() => world.client.state.status !== null);
    world.host.installed = false;
    world.reborn();
    await world.client.add('pageVisit', [visit('of-a')]);
    world.host.account = B;
    world.host.installed = true;
    await world.client.start();
    await world.until(async () => (await world.waiting()).length === 0, true);
    expect(world.host.frames[0]?.accountRef).toBe('acc-a');
  });

  it('splits frames where the account changes, and keeps the order', async () => {
    const world = new World();
    world.host.script = ['nack'];
    await world.client.start();
    for (const account of [A, B, A]) {
      world.host.account = account;
      world.host.push(world.host.status());
      await idle();
      await world.client.add('pageVisit', [visit(`${account.ref}-1-${world.clock.uuid()}`), visit(`${account.ref}-2-${world.clock.uuid()}`)]);
    }
    await world.until(async () => (await world.waiting()).length === 0, true);
    const refs = world.host.frames.slice(1).map((frame) => [frame.accountRef, frame.pageVisits.length]);
    expect(refs).toEqual([['acc-a', 2], ['acc-b', 2], ['acc-a', 2]]);
  });

  it('of a record captured before any sign-in is left to the host until somebody signs in, and is that one\'s for ever', () => {
    const book = new AccountBook();
    const stamp = book.stamp();
    expect(book.refFor(stamp)).toBeUndefined();
    const later = (): AccountBook => AccountBook.read(JSON.parse(JSON.stringify(book)));
    for (const ref of ['acc-a', null, 'acc-c']) {
      book.learn(ref);
      expect(later().refFor(stamp)).toBe('acc-a');
    }
    // As an earlier version kept it.
    expect(AccountBook.read({ current: null, last: 'acc-a' }).refFor(stamp)).toBe('acc-a');
  });

  it('of a record that waits from before the first sign-in and grew under A is A\'s, also when it can go only under C', async () => {
    const world = new World();
    // Full all the while.
    world.host.script = Array.from({ length: 200 }, () => 'nack' as const);
    await world.client.start();
    await world.client.add('pageVisit', [visit('grows', 1), visit('before')]);
    await world.until(() => world.host.frames.length > 0, true);
    for (const account of [A, null, { ref: 'acc-c', email: 'c@example.test' }]) {
      world.host.account = account;
      world.host.push(world.host.status());
      await world.until(() => world.client.stamp.ref === (account?.ref ?? null));
      if (account === A) await world.client.add('pageVisit', [visit('grows', 2)]);
    }
    [world.host.script, world.host.frames.length] = [[], 0];
    await world.until(async () => (await world.waiting()).length === 0, true);
    expect(world.host.frames.map((frame) => [frame.accountRef, frame.pageVisits.map((one) => one.id)])).toEqual([['acc-a', ['grows', 'before']]]);
  });

  it('of a record captured after A signed out goes to A again, never to B', () => {
    const book = new AccountBook();
    book.learn('acc-a');
    book.learn(null);
    const stamp = AccountBook.read(JSON.parse(JSON.stringify(book))).stamp();
    expect(book.refFor(stamp)).toBeUndefined();
    book.learn('acc-a');
    expect(book.refFor(stamp)).toBeUndefined();
    book.learn('acc-b');
    expect(book.refFor(stamp)).toBe('signed-out');
  });
});
