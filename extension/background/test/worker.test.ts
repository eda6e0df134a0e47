/**
 * The whole worker over a stand-in for the browser: what failed once at its start, or later, heals at a beat, and the
 * popup says so meanwhile. Nothing is said before it is known.
 */
import { IDBFactory } from 'fake-indexeddb';
import 'fake-indexeddb/auto';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { PageMessage } from '../pages';

type Listener = (...args: never[]) => unknown;

/** An event of the browser's. */
function event(): { addListener: (listener: Listener) => void; fire: (...args: unknown[]) => void } {
  const listeners: Listener[] = [];
  return { addListener: (listener) => listeners.push(listener), fire: (...args) => listeners.forEach((l) => l(...(args as never[]))) };
}

/** What fails, by name, until it is taken out. */
const failing = new Set<string>();
/** Where it is an array, what is read of `storage.local` comes when the test lets it go, as it was when it was asked for. */
let slow: (() => void)[] | null = null;
const AGREED = { capture: 'on', textVersion: 2, decidedAt: 0 };
const local: Record<string, unknown> = {};
const session: Record<string, unknown> = {};
const area = (name: string, kept: Record<string, unknown>, changed?: ReturnType<typeof event>) => ({
  get: async () => {
    if (failing.has(name)) throw new Error(`${name} fails`);
    const then = { ...kept };
    if (name === 'local' && slow !== null) await new Promise<void>((resolve) => slow?.push(resolve));
    return then;
  },
  set: async (values: Record<string, unknown>) => {
    Object.assign(kept, values);
    changed?.fire(Object.fromEntries(Object.entries(values).map(([key, newValue]) => [key, { newValue }])), name);
  },
  remove: async () => undefined,
});

function browser() {
  const names = ['onBeforeNavigate', 'onCommitted', 'onHistoryStateUpdated', 'onReferenceFragmentUpdated', 'onErrorOccurred', 'onCreatedNavigationTarget'];
  const tab = { id: 1, windowId: 1, active: true, incognito: false, discarded: false, status: 'complete', url: 'https://open.example/', title: 'Open' };
  const alarm = event();
  const changed = event();
  const badges: string[] = [];
  /** When the alarms ring that were set for once. */
  const alarms: number[] = [];
  const connected = event();
  const events = (these: string[]): Record<string, ReturnType<typeof event>> => Object.fromEntries(these.map((name) => [name, event()]));
  const chrome = {
    runtime: {
      id: 'me', getManifest: () => ({ version: '1' }), getURL: (path: string) => path, onConnect: connected, onInstalled: event(), onStartup: event(),
      connectNative: () => {
        throw new Error('Specified native messaging host not found.');
      },
    },
    storage: { local: area('local', local, changed), session: area('session', session), onChanged: changed },
    webNavigation: events(names),
    tabs: { ...events(['onCreated', 'onUpdated', 'onActivated', 'onAttached', 'onReplaced', 'onRemoved']), query: async () => {
      if (failing.has('query')) throw new Error('Tabs cannot be queried right now (user may be dragging a tab).');
      return [tab];
    } },
    windows: { ...events(['onFocusChanged', 'onRemoved']), WINDOW_ID_NONE: -1, getLastFocused: async () => ({ id: 1, focused: true }) },
    idle: { ...events(['onStateChanged']), setDetectionInterval: () => undefined, queryState: async () => 'active' },
    alarms: { onAlarm: alarm, get: async () => ({}), create: async (_: string, { when }: { when?: number }) => void (when !== undefined && alarms.push(when)), clear: async () => true },
    action: { setBadgeBackgroundColor: async () => undefined, setBadgeTextColor: async () => undefined, setBadgeText: async ({ text }: { text: string }) => void badges.push(text), setTitle: async () => undefined },
    i18n: { getMessage: (key: string) => key },
  };
  const said: Extract<PageMessage, { type: 'state' }>[] = [];
  const popup = (): void =>
    connected.fire({
      name: 'page', sender: { id: 'me' }, onMessage: event(), onDisconnect: event(),
      postMessage: (message: PageMessage) => message.type === 'state' && said.push(message),
    });
  return { chrome, beat: () => alarm.fire({ name: 'beat' }), popup, said, badges, alarms };
}

const until = async (condition: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 1_000 && !condition(); turn++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
};

beforeEach(() => {
  for (const key of Object.keys(local)) delete local[key];
  local['capture'] = AGREED;
});

afterEach(() => {
  slow = null;
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.resetModules();
  failing.clear();
});

/** IndexedDB as it is, but for databases that are among what fails. */
function storage(): void {
  vi.stubGlobal('indexedDB', new IDBFactory());
  const open = indexedDB.open.bind(indexedDB);
  vi.spyOn(indexedDB, 'open').mockImplementation((name, version) => {
    if (failing.has(name)) throw new Error(`${name} fails`);
    return open(name, version);
  });
}

function started(): ReturnType<typeof browser> & { run: () => Promise<unknown> } {
  const world = browser();
  vi.stubGlobal('chrome', world.chrome);
  vi.stubGlobal('navigator', { userAgent: 'Firefox/142.0' });
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  storage();
  return { ...world, run: () => import('../index') };
}

/** What the popup stores. */
const pauseUntil = (world: ReturnType<typeof browser>, until: number): Promise<void> =>
  world.chrome.storage.local.set({ pause: { since: Date.now(), until } });

it('a pause that comes while the start reads whether capture is on holds, though what was read says that it is', async () => {
  const world = started();
  const late: (() => void)[] = [];
  slow = late;
  await world.run();
  await until(() => late.length === 1);
  slow = null;
  const [first, second] = [Date.now() + 3_600_000, Date.now() + 7_200_000];
  await pauseUntil(world, first);
  await until(() => world.alarms.includes(first));
  late[0]?.();
  await new Promise((resolve) => setImmediate(resolve));
  // Done in its turn, after whatever came of what was read.
  await pauseUntil(world, second);
  await until(() => world.alarms.includes(second));
  expect(world.badges).toEqual(['II', 'II']);
});

it('a change that cannot be read is taken for a pause, is said, and is followed at a beat', async () => {
  const world = started();
  await world.run();
  world.popup();
  const outbox = (): number => world.said.at(-1)?.companion.outbox.pageVisits ?? 0;
  await until(() => world.said.at(-1)?.ill === false && outbox() === 1);
  failing.add('local');
  const end = Date.now() + 3_600_000;
  await pauseUntil(world, end);
  await until(() => world.said.at(-1)?.ill === true && world.badges.at(-1) === '!');
  // The page that was open ended with it; this one is not looked at.
  world.chrome.webNavigation['onCommitted']?.fire({ tabId: 1, frameId: 0, url: 'https://secret.example/', timeStamp: Date.now() });
  failing.clear();
  await until(() => {
    world.beat();
    return world.said.at(-1)?.ill === false && world.alarms.includes(end);
  });
  expect(world.said.at(-1)?.capture).toMatchObject({ is: 'paused', until: end });
  expect([outbox(), world.badges.at(-1)]).toEqual([1, 'II']);
});

it('a browser that cannot be looked at is said, and is looked at again without a beat', async () => {
  const world = started();
  failing.add('query');
  await world.run();
  world.popup();
  await until(() => world.said.at(-1)?.ill === true && world.badges.at(-1) === '!');
  // It goes on being followed: a pause has its alarm.
  const end = Date.now() + 3_600_000;
  await pauseUntil(world, end);
  await until(() => world.alarms.includes(end) && world.badges.at(-1) === 'II' && world.said.at(-1)?.ill === false);
  await world.chrome.storage.local.set({ pause: null });
  await until(() => world.said.at(-1)?.ill === true && world.badges.at(-1) === '!');
  failing.clear();
  await until(() => world.said.at(-1)?.ill === false && world.badges.at(-1) === '' && (world.said.at(-1)?.companion.outbox.pageVisits ?? 0) > 0);
});

it('a worker whose storage is broken from its start shows it on the button, and no more once it is not', async () => {
  const world = started();
  failing.add('heyho-capture');
  await world.run();
  await until(() => world.badges.at(-1) === '!');
  world.beat();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(world.badges.at(-1)).toBe('!');
  failing.clear();
  world.beat();
  await until(() => world.badges.at(-1) === '');
});

it.each(['session', 'local', 'heyho-capture', 'heyho-companion'])('a worker that cannot use %s at its start says so, and heals at a beat', async (what) => {
  const { beat, popup, said, run } = started();
  failing.add(what);
  await run();
  if (what !== 'local') {
    popup();
    await until(() => said.at(-1)?.ill === true);
    expect(said.map((message) => message.capture.is)).not.toContain('unasked');
  }
  beat();
  await new Promise((resolve) => setTimeout(resolve, 100));
  if (what !== 'local') expect(said.at(-1)?.ill).toBe(true);
  failing.clear();
  popup();
  beat();
  // The page that was open all the while: its first version comes 1.5 s after it was found.
  await until(() => said.at(-1)?.ill === false && (said.at(-1)?.companion.outbox.pageVisits ?? 0) > 0);
});
