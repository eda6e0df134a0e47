/** Runs the tests that must notice it with each fault in turn: they must fail, and not because nothing ran. */
import { spawnSync } from 'node:child_process';
import { FAULTS } from './faults.mjs';

let unnoticed = 0;
for (const [name, { what, tests }] of Object.entries(FAULTS)) {
  const run = spawnSync('npx', ['vitest', 'run', tests], {
    encoding: 'utf8',
    env: { ...process.env, HEYHO_FAULT: name, NO_COLOR: '1' },
  });
  const red = run.status !== 0 && /Tests .*\d+ failed/.test(run.stdout);
  console.log(`${red ? 'red, as it must be' : 'NOT NOTICED'}: ${what}`);
  if (!red) {
    unnoticed += 1;
    console.log(run.stdout, run.stderr);
  }
}
process.exit(unnoticed === 0 ? 0 : 1);
