import { readFileSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { complaints, unpack } from './packages.mjs';

const json = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
const words = Buffer.from('{"a":{"message":"b"}}');

/** A package in which all is well. */
function good(browser) {
  const page = Buffer.from('<script type="module" crossorigin src="./assets/popup-Ci_alA-C.js"></script>');
  const manifest = { ...json('./manifest/base.json'), ...json(`./manifest/${browser}.json`) };
  return new Map([
    ['manifest.json', Buffer.from(JSON.stringify(manifest, null, 2))],
    ['background.js', Buffer.from('const a = 1;')], ['popup.html', page], ['consent.html', page],
    ['assets/popup-Ci_alA-C.js', Buffer.from('import "./text-PyVgkECf.js";')], ['assets/text-PyVgkECf.js', Buffer.from('')],
    ...[16, 32, 48, 128].map((size) => [`icons/${size}.png`, Buffer.from('')]),
    ...['en', 'de'].map((language) => [`_locales/${language}/messages.json`, words]),
  ]);
}

it.each(['chromium', 'firefox'])('all that belongs to the extension for %s is well', (browser) => {
  expect(complaints(good(browser), browser)).toEqual([]);
});

const manifest = (change) => (files) => {
  const changed = JSON.parse(files.get('manifest.json'));
  change(changed);
  files.set('manifest.json', Buffer.from(JSON.stringify(changed)));
};

it.each([
  ['a file is missing', (files) => files.delete('icons/48.png'), /icons\/48\.png is missing/],
  ['a source lies beside it', (files) => files.set('background.ts', words), /background\.ts does not belong/],
  ['nobody asks for an asset', (files) => files.set('assets/other-01234567.js', words), /other-01234567\.js does not belong/],
  ['a script asks a server', (files) => files.set('background.js', Buffer.from('fetch ("https://a/")')), /has fetch/],
  ['a page asks a server', (files) => files.set('popup.html', Buffer.from('<img src="https://a/b.png">')), /names https:/],
  ['a page has a script in it', (files) => files.set('popup.html', Buffer.from('<script>1</script>')), /script in it/],
  ['it may read pages', manifest((m) => (m.host_permissions = ['*://*/*'])), /host_permissions/],
  ['a permission is not explained', manifest((m) => m.permissions.push('history')), /explain the permission history/],
  ['it has another id', manifest((m) => (m.key = 'AAAA')), /does not accept/],
  ['it is of another version', manifest((m) => (m.version = '9')), /version 9/],
  ['a message has no translation', (files) => files.set('_locales/de/messages.json', Buffer.from('{}')), /has no a/],
])('it is said where %s', (_, change, said) => {
  const files = good('chromium');
  change(files);
  expect(complaints(files, 'chromium').join('\n')).toMatch(said);
});

it('an archive is read whole, packed or not', () => {
  const entry = (name, method, bytes, size, at) => {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(size, 18);
    common.writeUInt16LE(name.length, 22);
    const directory = Buffer.concat([Buffer.from('PK\x01\x02\x14\x00'), common, Buffer.alloc(14), Buffer.from(name)]);
    directory.writeUInt32LE(at, 42);
    return { local: Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), bytes]), directory };
  };
  const packed = deflateRawSync('hello'.repeat(4));
  const a = entry('a', 0, Buffer.from('hello'), 5, 0);
  const b = entry('b', 8, packed, 20, a.local.length);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(2, 10);
  end.writeUInt32LE(a.local.length + b.local.length, 16);
  const files = unpack(Buffer.concat([a.local, b.local, a.directory, b.directory, end]));
  expect([...files].map(([name, bytes]) => [name, bytes.toString()])).toEqual([['a', 'hello'], ['b', 'hello'.repeat(4)]]);
});
