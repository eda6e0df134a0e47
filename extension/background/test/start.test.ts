/**
 * The whole worker at the start of a browser: what changed while it was closed, who is signed in and which rules hold,
 * is heard of before anything is looked at. The browser and the host are stand-ins.
 */
import { IDBFactory } from 'fake-indexeddb';
import 'fake-indexeddb/auto';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

type Listener = (...args: never[]) => unknown;

function event(): { addListener: (listener: Listener) => void; fire: (...args: unknown[]) => void } {
  const listeners: Listener[] = [];
  return { addListener: (listener) => listeners.push(listener), fire: (...args) => listeners.forEach((l) => l(...(args as never[]))) };
}

interface Visit {
  id: string;
  url: string;
  startedAt: number;
}

/** What the host has committed: the visits of each account, by their ids. */
const committed = new Map<string, Map<string, Visit>>();
let account = { ref: 'a', email: '' };
let rules: object[] = [];
/** False: it takes what it is told, and says nothing. */
let greets = true;
/** Says the greeting that is due. */
let greet: (() => void)[] = [];

function nativePort() {
  const [said, ended] = [event(), event()];
  const say = (frame: object): void => queueMicrotask(() => said.fire(structuredClone(frame)));
  const postMessage = (frame: { type: string; id: string; accountRef?: string; pageVisits?: Visit[]; tabAggregates?: unknown[] }): void => {
    if (frame.type === 'hello') {
      const welcome = (): void => say({ type: 'welcome', limits: {}, account, rules });
      if (greets) welcome();
      else greet.push(welcome);
    } else if (frame.type === 'records') {
      const whose = frame.accountRef ?? 'nobody';
      const theirs = committed.get(whose) ?? new Map<string, Visit>();
      committed.set(whose, theirs);
      for (const visit of frame.pageVisits ?? []) theirs.set(visit.id, visit);
      const stored = (frame.pageVisits?.length ?? 0) + (frame.tabAggregates?.length ?? 0);
      say({ type: 'ack', id: frame.id, stored, updated: 0, unchanged: 0, filtered: 0, rejected: [], rejectedMore: 0 });
    }
  };
  return { postMessage, disconnect: () => undefined, onMessage: said, onDisconnect: ended };
}

const local: Record<string, unknown> = { capture: { capture: 'on', textVersion: 2, decidedAt: 0 } };
let session: Record<string, unknown> = {};
const area = (kept: Record<string, unknown>) => ({
  get: async () => ({ ...kept }),
  set: async (values: Record<string, unknown>) => void Object.assign(kept, values),
  remove: async () => undefined,
});

/** A worker of a browser that has that page open; `looks` counts how often it asked what is open. */
async function worker(url: string): Promise<{ commit: (url: string, at: number) => void; close: () => void; looks: () => number }> {
  vi.resetModules();
  const tab = { id: 1, windowId: 1, active: true, incognito: false, discarded: false, status: 'complete', url, title: 'Open' };
  const events = (these: string[]): Record<string, ReturnType<typeof event>> => Object.fromEntries(these.map((name) => [name, event()]));
  const query = vi.fn(async () => [tab]);
  const navigation = events(['onBeforeNavigate', 'onCommitted', 'onHistoryStateUpdated', 'onReferenceFragmentUpdated', 'onErrorOccurred', 'onCreatedNavigationTarget']);
  const tabs = events(['onCreated', 'onUpdated', 'onActivated', 'onAttached', 'onReplaced', 'onRemoved']);
  vi.stubGlobal('chrome', {
    runtime: {
      id: 'me', getManifest: () => ({ version: '1' }), getURL: (path: string) => path, onConnect: event(), onInstalled: event(), onStartup: event(),
      connectNative: nativePort,
    },
    storage: { local: area(local), session: area(session), onChanged: event() },
    webNavigation: navigation,
    tabs: { ...tabs, query },
    windows: { ...events(['onFocusChanged', 'onRemoved']), WINDOW_ID_NONE: -1, getLastFocused: async () => ({ id: 1, focused: true }) },
    idle: { ...events(['onStateChanged']), setDetectionInterval: () => undefined, queryState: async () => 'active' },
    alarms: { onAlarm: event(), get: async () => ({}), create: async () => undefined, clear: async () => true },
    action: { setBadgeBackgroundColor: async () => undefined, setBadgeTextColor: async () => undefined, setBadgeText: async () => undefined, setTitle: async () => undefined },
    i18n: { getMessage: (key: string) => key },
  });
  await import('../index');
  const commit = (to: string, at: number): void => {
    tab.url = to;
    navigation['onCommitted']?.fire({ tabId: 1, frameId: 0, url: to, timeStamp: at });
  };
  return { commit, close: () => tabs['onRemoved']?.fire(1), looks: () => query.mock.calls.length };
}

const until = async (condition: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 2_000 && !condition(); turn++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
};
const visits = (whose: string): Visit[] => [...(committed.get(whose)?.values() ?? [])];
const urls = (whose: string): string[] => visits(whose).map((visit) => visit.url);

/** What is ever written into a database of the extension's. */
let written: string[] = [];

beforeEach(() => {
  vi.stubGlobal('navigator', { userAgent: 'Firefox/142.0' });
  vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  vi.stubGlobal('indexedDB', new IDBFactory());
  for (const name of ['put', 'add'] as const) {
    const real = Object.getOwnPropertyDescriptor(IDBObjectStore.prototype, name)?.value as (...args: unknown[]) => IDBRequest<IDBValidKey>;
    vi.spyOn(IDBObjectStore.prototype, name).mockImplementation(function (this: IDBObjectStore, ...args: unknown[]) {
      written.push(JSON.stringify(args[0]));
      return Reflect.apply(real, this, args);
    });
  }
  committed.clear();
  [account, rules, greets, greet, session, written] = [{ ref: 'a', email: '' }, [], true, [], {}, []];
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.resetModules();
});

/** Under A, in an earlier run of the browser. */
async function before(): Promise<void> {
  await worker('https://before.example/');
  await until(() => urls('a').length === 1);
  [session, greets] = [{}, false];
}

it('what a browser brings back when another account has signed in is that one\'s', async () => {
  await before();
  account = { ref: 'b', email: '' };
  const began = Date.now();
  const { commit, close, looks } = await worker('https://restored.example/');
  commit('https://early.example/', began + 1);
  await until(() => greet.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect([looks(), written.filter((text) => /restored|early/.test(text))]).toEqual([0, []]);
  for (const say of greet) say();
  await until(() => looks() > 0);
  close();
  await until(() => urls('b').length === 1);
  expect([urls('a'), urls('b')]).toEqual([['https://before.example/'], ['https://early.example/']]);
  // It waited; it did not begin later for that.
  expect(visits('b')[0]?.startedAt).toBe(began + 1);
});

it('what a rule keeps out that was made while the browser was closed is never written down', async () => {
  await before();
  rules = [{ id: 'r', match: 'host', pattern: '*.bank.example', action: 'drop' }];
  const { commit, close, looks } = await worker('https://www.bank.example/restored');
  commit('https://bank.example/early', Date.now());
  commit('https://kept.example/', Date.now());
  await until(() => greet.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (const say of greet) say();
  await until(() => looks() > 0);
  close();
  await until(() => urls('a').length === 2);
  expect(urls('a')).toEqual(['https://before.example/', 'https://kept.example/']);
  // The rule itself is kept.
  expect(written.filter((text) => text.includes('bank.example') && !text.includes('pattern'))).toEqual([]);
});

it('a host that says nothing holds up a worker that is started again for two seconds', async () => {
  await before();
  session = { session: 'the same run' };
  const { close, looks } = await worker('https://restored.example/');
  await until(() => looks() > 0);
  close();
  await until(() => written.some((text) => text.includes('restored.example')));
  for (const say of greet) say();
  await until(() => urls('a').includes('https://restored.example/'));
});
