/**
 * The whole worker over a stand-in for the browser: what failed once at its start, or later, heals at a beat, and the
 * popup says so meanwhile. Nothing is said before it is known.
 */
import { IDBFactory } from 'fake-indexeddb';
import 'fake-indexeddb/auto';
import { afterEach, expect, it, vi } from 'vitest';
import type { PageMessage } from '../pages';

type Listener = (...args: never[]) => unknown;

/** An event of the browser's. */
function event(): { addListener: (listener: Listener) => void; fire: (...args: unknown[]) => void } {
  const listeners: Listener[] = [];
  return { addListener: (listener) => listeners.push(listener), fire: (...args) => listeners.forEach((l) => l(...(args as never[]))) };
}

/** What fails, by name, until it is taken out. */
const failing = new Set<string>();
const local: Record<string, unknown> = { capture: { capture: 'on', textVersion: 1, decidedAt: 0 } };
const session: Record<string, unknown> = {};
const area = (name: string, kept: Record<string, unknown>): object => ({
  get: async () => {
    if (failing.has(name)) throw new Error(`${name} fails`);
    return kept;
  },
  set: async (values: object) => void Object.assign(kept, values),
  remove: async () => undefined,
});

function browser() {
  const names = ['onBeforeNavigate', 'onCommitted', 'onHistoryStateUpdated', 'onReferenceFragmentUpdated', 'onErrorOccurred', 'onCreatedNavigationTarget'];
  const tab = { id: 1, windowId: 1, active: true, incognito: false, discarded: false, status: 'complete', url: 'https://open.example/', title: 'Open' };
  const alarm = event();
  const connected = event();
  const events = (these: string[]): Record<string, ReturnType<typeof event>> => Object.fromEntries(these.map((name) => [name, event()]));
  const chrome = {
    runtime: {
      id: 'me', getManifest: () => ({ version: '1' }), getURL: (path: string) => path, onConnect: connected, onInstalled: event(), onStartup: event(),
      connectNative: () => {
        throw new Error('Specified native messaging host not found.');
      },
    },
    storage: { local: area('local', local), session: area('session', session), onChanged: event() },
    webNavigation: events(names),
    tabs: { ...events(['onCreated', 'onUpdated', 'onActivated', 'onAttached', 'onReplaced', 'onRemoved']), query: async () => [tab] },
    windows: { ...events(['onFocusChanged', 'onRemoved']), WINDOW_ID_NONE: -1, getLastFocused: async () => ({ id: 1, focused: true }) },
    idle: { ...events(['onStateChanged']), setDetectionInterval: () => undefined, queryState: async () => 'active' },
    alarms: { onAlarm: alarm, get: async () => ({}), create: async () => undefined, clear: async () => true },
    action: { setBadgeBackgroundColor: async () => undefined, setBadgeTextColor: async () => undefined, setBadgeText: async () => undefined, setTitle: async () => undefined },
    i18n: { getMessage: (key: string) => key },
  };
  const said: Extract<PageMessage, { type: 'state' }>[] = [];
  const popup = (): void =>
    connected.fire({
      name: 'page', sender: { id: 'me' }, onMessage: event(), onDisconnect: event(),
      postMessage: (message: PageMessage) => message.type === 'state' && said.push(message),
    });
  return { chrome, beat: () => alarm.fire({ name: 'beat' }), popup, said };
}

const until = async (condition: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 1_000 && !condition(); turn++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
};

afterEach(() => {
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

it.each(['session', 'local', 'heyho-capture', 'heyho-companion'])('a worker that cannot use %s at its start says so, and heals at a beat', async (what) => {
  const { chrome, beat, popup, said } = browser();
  vi.stubGlobal('chrome', chrome);
  vi.stubGlobal('navigator', { userAgent: 'Firefox/142.0' });
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  storage();
  failing.add(what);
  await import('../index');
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
