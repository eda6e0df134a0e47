/**
 * Builds dist/chromium and dist/firefox, unpacked and loadable: one source, two manifests.
 * Nothing is minified, so that what runs can be read.
 */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const json = async (path) => JSON.parse(await readFile(here(path), 'utf8'));
const common = { configFile: false, logLevel: 'warn', publicDir: false };
const output = { outDir: here('dist/common'), minify: false, target: 'chrome120', modulePreload: false };

await rm(here('dist'), { recursive: true, force: true });
// The background is one classic script: both browsers take it, and no chunk is fetched at a worker's start.
await build({
  ...common,
  root: here('.'),
  build: {
    ...output,
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
  const to = here(`dist/${browser}`);
  await mkdir(to, { recursive: true });
  await cp(here('dist/common'), to, { recursive: true });
  await cp(here('_locales'), `${to}/_locales`, { recursive: true });
  await cp(here('icons'), `${to}/icons`, { recursive: true });
  const manifest = { ...(await json('manifest/base.json')), ...(await json(`manifest/${browser}.json`)) };
  await writeFile(`${to}/manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`);
}
await rm(here('dist/common'), { recursive: true });
