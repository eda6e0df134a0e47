/**
 * What is in a package that people install: all of the extension, nothing else, and nothing that could load more.
 *
 *   node packages.mjs chromium|firefox ARCHIVE   ends with 1 and says what is wrong with it
 *
 * An archive (PKWARE APPNOTE): local headers with their bytes, the central directory, and at the end where that is.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inflateRawSync } from 'node:zlib';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const json = (path) => JSON.parse(readFileSync(here(path), 'utf8'));

const MUST = [
  'manifest.json', 'background.js', 'popup.html', 'consent.html',
  ...[16, 32, 48, 128].map((size) => `icons/${size}.png`),
  ...['en', 'de'].map((language) => `_locales/${language}/messages.json`),
];
/** Named after their contents by the build. */
const ASSET = /^assets\/[a-z]+-[\w-]{8}\.(js|css)$/;
/** What could reach a network, or run what is not in the package. */
const REACHES_OUT = /\bfetch\s*\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\beval\s*\(|new Function|importScripts|\bimport\s*\(|sourceMappingURL/;

/** The files of an archive, by their names. */
export function unpack(archive) {
  const end = archive.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  if (end < 0) throw new Error('it is no archive');
  const files = new Map();
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left--) {
    const [method, size] = [archive.readUInt16LE(at + 10), archive.readUInt32LE(at + 20)];
    const [name, extra, comment] = [28, 30, 32].map((field) => archive.readUInt16LE(at + field));
    const local = archive.readUInt32LE(at + 42);
    const from = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
    const bytes = archive.subarray(from, from + size);
    const path = archive.toString('utf8', at + 46, at + 46 + name);
    // Folders have entries of their own.
    if (!path.endsWith('/')) files.set(path, method === 0 ? bytes : inflateRawSync(bytes));
    at += 46 + name + extra + comment;
  }
  return files;
}

/** What is wrong with a package of these files. */
export function complaints(files, browser) {
  const wrong = [];
  const text = (name) => files.get(name)?.toString('utf8') ?? '';
  const scripts = [...files.keys()].filter((name) => name.endsWith('.js'));
  const pages = ['popup.html', 'consent.html'];
  for (const name of MUST) if (!files.has(name)) wrong.push(`${name} is missing`);
  for (const name of files.keys()) {
    if (MUST.includes(name)) continue;
    const named = [...pages, ...scripts].some((other) => other !== name && text(other).includes(name.split('/').at(-1)));
    if (!ASSET.test(name) || !named) wrong.push(`${name} does not belong there`);
  }
  for (const name of scripts) {
    const reaches = REACHES_OUT.exec(text(name));
    if (reaches !== null) wrong.push(`${name} has ${reaches[0]}`);
  }
  for (const page of pages) {
    for (const [, where] of text(page).matchAll(/(?:src|href)="([^"]*)"/g)) {
      if (!files.has(where.replace(/^\.\//, ''))) wrong.push(`${page} names ${where}`);
    }
    if (/<script(?![^>]*\ssrc=)/.test(text(page))) wrong.push(`${page} has a script in it`);
  }
  wrong.push(...ofManifest(text('manifest.json'), browser), ...ofWords(text));
  return wrong;
}

function ofManifest(text, browser) {
  const wrong = [];
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch (error) {
    return [`manifest.json: ${error.message}`];
  }
  const source = { ...json('manifest/base.json'), ...json(`manifest/${browser}.json`) };
  if (JSON.stringify(manifest) !== JSON.stringify(source)) wrong.push('manifest.json is not that of its sources');
  if (manifest.version !== json('package.json').version) wrong.push(`the manifest is of version ${manifest.version}`);
  for (const key of ['host_permissions', 'optional_permissions', 'optional_host_permissions', 'content_scripts', 'externally_connectable', 'web_accessible_resources', 'update_url']) {
    if (key in manifest) wrong.push(`the manifest has ${key}`);
  }
  const explained = [...readFileSync(here('README.md'), 'utf8').matchAll(/^\| `(\w+)` \| \S/gm)].map(([, name]) => name);
  for (const permission of manifest.permissions ?? []) {
    if (!explained.includes(permission)) wrong.push(`README.md does not explain the permission ${permission}`);
  }
  const id = browser === 'firefox' ? manifest.browser_specific_settings?.gecko?.id : idOf(manifest.key ?? '');
  if (!json('ids.json')[browser].includes(id)) wrong.push(`the companion does not accept ${id}`);
  return wrong;
}

/** Chromium's id of an extension: the first half of its key's hash, in the letters a to p. */
function idOf(key) {
  const hash = createHash('sha256').update(Buffer.from(key, 'base64')).digest('hex').slice(0, 32);
  return [...hash].map((digit) => String.fromCharCode(97 + parseInt(digit, 16))).join('');
}

/** Each language has the same messages. */
function ofWords(text) {
  const [en, de] = ['en', 'de'].map((language) => Object.keys(JSON.parse(text(`_locales/${language}/messages.json`) || '{}')));
  const missing = [...en.filter((key) => !de.includes(key)), ...de.filter((key) => !en.includes(key))];
  return missing.map((key) => `a language has no ${key}`);
}

const [, program, browser, archive] = process.argv;
if (program === fileURLToPath(import.meta.url)) {
  const wrong = complaints(unpack(readFileSync(archive)), browser);
  for (const one of wrong) console.error(`${archive}: ${one}`);
  process.exit(wrong.length === 0 ? 0 : 1);
}
