/**
 * Builds dist/chromium and dist/firefox, unpacked and loadable: one source, two manifests.
 * Nothing is minified, so that what runs can be read.
 *
 *   node build.mjs                            into dist/
 *   node build.mjs --fault NAME --out FOLDER  with a fault on purpose (faults.mjs), never into dist/
 */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'vite';
import { planted } from './faults.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const json = async (path) => JSON.parse(await readFile(here(path), 'utf8'));
const { fault, out } = parseArgs({ options: { fault: { type: 'string' }, out: { type: 'string' } } }).values;
const dist = out === undefined ? here('dist') : resolve(out);
if (fault !== undefined && dist === here('dist')) throw new Error('a build with a fault goes to a folder of its own: --out');
const common = { configFile: false, logLevel: 'warn', publicDir: false };
const output = { outDir: `${dist}/common`, minify: false, target: 'chrome120', modulePreload: false };

await rm(dist, { recursive: true, force: true });
// The background is one classic script: both browsers take it, and no chunk is fetched at a worker's start.
await build({
  ...common,
  plugins: planted(fault),
  root: here('.'),
  build: {
    ...output,
    emptyOutDir: false,
    lib: { entry: here('background/index.ts'), formats: ['iife'], name: 'background', fileName: () => 'background.js' },
  },
});
await build({
  ...common,
  root: here('pages'),
  base: './',
  build: {
    ...output,
    emptyOutDir: false,
    rolldownOptions: { input: [here('pages/popup.html'), here('pages/consent.html')] },
  },
});

for (const browser of ['chromium', 'firefox']) {
  const to = `${dist}/${browser}`;
  await mkdir(to, { recursive: true });
  await cp(`${dist}/common`, to, { recursive: true });
  await cp(here('_locales'), `${to}/_locales`, { recursive: true });
  await cp(here('icons'), `${to}/icons`, { recursive: true });
  const manifest = { ...(await json('manifest/base.json')), ...(await json(`manifest/${browser}.json`)) };
  await writeFile(`${to}/manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`);
}
await rm(`${dist}/common`, { recursive: true });
