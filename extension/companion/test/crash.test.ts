/**
 * Whatever breaks, and wherever: no record leaves the outbox before the host has it.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Behaviour, idle, mortal, visit, World } from './world';

type Action =
  | { do: 'add'; ids: number[] }
  | { do: 'crash'; operations: number; halfway: boolean }
  | { do: 'hostDies' }
  | { do: 'uninstall' }
  | { do: 'install' }
  | { do: 'release' }
  | { do: 'time' };

const behaviour = fc.constantFrom<Behaviour>(
  'ack', 'late-ack', 'late-ack', 'late-ack', 'commit-then-die', 'die', 'nack', 'too-many', 'too-large', 'short-count', 'silent', 'bad-message',
);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('add' as const), ids: fc.array(fc.nat(2), { minLength: 1, maxLength: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const), operations: fc.integer({ min: 1, max: 12 }), halfway: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ do: 'hostDies' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'uninstall' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'install' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'release' as const }) },
  { weight: 4, arbitrary: fc.constant({ do: 'time' as const }) },
);

describe('crash points', () => {
  it('every stored record is in the outbox or with the host, at each moment, and all arrive in the end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 14 }), fc.array(behaviour, { maxLength: 12 }), async (actions, script) => {
        const world = new World();
        world.host.script = [...script];
        /** The last version of each record whose `add` was answered. */
        const stored = new Map<string, number>();
        let version = 0;
        await world.client.start();

        const check = async (): Promise<void> => {
          const waiting = new Map((await world.waiting()).map((item) => [item.id, item.text]));
          for (const [id, promised] of stored) {
            const held = [waiting.get(id), world.host.committed.get(id)].filter((text) => text !== undefined);
            const newest = Math.max(-1, ...held.map((text) => (JSON.parse(text) as { duration: number }).duration));
            expect(newest, `${id} was promised in version ${promised}`).toBeGreaterThanOrEqual(promised);
          }
        };

        for (const step of actions) {
          if (step.do === 'add') {
            for (const n of step.ids) {
              const mine = ++version;
              const id = `v${n}`;
              // In a process that died the promise never settles: nothing was promised.
              void world.client.add('pageVisit', [visit(id, mine)]).then(() => stored.set(id, Math.max(mine, stored.get(id) ?? 0)));
              await idle();
            }
          } else if (step.do === 'crash') {
            world.reborn((store) => mortal(store, step.operations, step.halfway));
            void world.client.start();
          } else if (step.do === 'hostDies') world.host.die();
          else if (step.do === 'uninstall') world.host.installed = false;
          else if (step.do === 'install') world.host.installed = true;
          else if (step.do === 'release') world.host.release();
          else world.clock.next();
          await idle();
          await check();
        }

        world.host.installed = true;
        world.host.script = [];
        world.reborn();
        await world.client.start();
        await world.until(async () => (await world.waiting()).length === 0, true);
        await check();
        await world.until(() => world.client.state.outbox.pageVisits === 0, true);
      }),
      { numRuns: 400 },
    );
  }, 120_000);
});
