import { expect, it } from 'vitest';
import type { Event } from '../../capture/types';
import { AT_ONCE, FIRST_WAIT_MS, Look, LONGEST_WAIT_MS } from '../look';

/** A browser that is looked at: each look ends as the test says. */
function world() {
  const open: { answer: (at: number) => void; refuse: () => void }[] = [];
  const taken: number[] = [];
  const health: boolean[] = [];
  const timers: { ms: number; task: () => void }[] = [];
  const look: Look = new Look({
    see: () => new Promise<Event>((resolve, reject) => open.push({ answer: (at) => resolve({ type: 'beat', at }), refuse: () => reject(new Error('not now')) })),
    take: (seen) => taken.push(seen.at),
    after: (ms, task) => {
      const timer = { ms, task };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer), 1);
    },
    onChange: () => health.push(look.failing),
    log: () => undefined,
  });
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return {
    look, open, taken, health, timers,
    answer: async (at: number): Promise<void> => (open.shift()?.answer(at), turns()),
    refuse: async (): Promise<void> => (open.shift()?.refuse(), turns()),
    ring: async (): Promise<number> => {
      const timer = timers.shift();
      timer?.task();
      await turns();
      return timer?.ms ?? NaN;
    },
  };
}

it('what it saw while the browser said something is not taken: it looks again', async () => {
  const { look, open, taken, answer, timers } = world();
  const done = look.now();
  look.heard();
  await answer(1);
  expect([taken, open.length]).toEqual([[], 1]);
  await answer(2);
  await done;
  look.heard();
  expect([taken, open.length, timers.length]).toEqual([[2], 0, 0]);
});

it('a browser that does not stop talking is looked at a bounded number of times, and again after a wait', async () => {
  const { look, taken, open, answer, ring, health } = world();
  void look.now();
  for (let n = 0; n < AT_ONCE; n++) {
    look.heard();
    await answer(n);
  }
  expect([taken, open.length, health]).toEqual([[], 0, []]);
  expect(await ring()).toBe(FIRST_WAIT_MS);
  await answer(9);
  expect(taken).toEqual([9]);
});

it('where the browser refuses it, it is repeated after a wait that doubles, and it is said as long', async () => {
  const { look, taken, refuse, answer, ring, health, timers } = world();
  const first = look.now();
  await refuse();
  await first;
  const waits: number[] = [];
  for (let n = 0; n < 8; n++) {
    waits.push(await ring());
    await refuse();
  }
  expect(waits.slice(0, 3)).toEqual([FIRST_WAIT_MS, 2 * FIRST_WAIT_MS, 4 * FIRST_WAIT_MS]);
  expect(waits.at(-1)).toBe(LONGEST_WAIT_MS);
  expect(health).toEqual([true]);
  await ring();
  await answer(1);
  expect([taken, health, timers.length]).toEqual([[1], [true, false], 0]);
});

it('and at what the browser says next, which makes no wait longer', async () => {
  const { look, taken, refuse, answer, timers } = world();
  void look.now();
  await refuse();
  for (let n = 0; n < 3; n++) {
    look.heard();
    await refuse();
  }
  expect(timers.map(({ ms }) => ms)).toEqual([FIRST_WAIT_MS]);
  look.heard();
  await answer(1);
  expect([taken, timers.length]).toEqual([[1], 0]);
});

it('takes nothing that was seen before a stop', async () => {
  const { look, taken, open, answer, refuse, health, timers } = world();
  void look.now();
  look.stop();
  await answer(1);
  void look.now();
  look.stop();
  await refuse();
  expect([taken, open.length, health, timers.length]).toEqual([[], 0, [], 0]);
  void look.now();
  look.stop();
  void look.now();
  await answer(2);
  expect(taken).toEqual([]);
  await answer(3);
  expect(taken).toEqual([3]);
});
