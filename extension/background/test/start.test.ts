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
/** Says something by itself. */
let push: (frame: object) => void = () => undefined;

function nativePort() {
  const [said, ended] = [event(), event()];
  const say = (frame: object): void => queueMicrotask(() => said.fire(structuredClone(frame)));
  push = say;
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

const AGREED = { capture: 'on', textVersion: 2, decidedAt: 0 };
const local: Record<string, unknown> = {};
let session: Record<string, unknown> = {};
const area = (kept: Record<string, unknown>) => ({
  get: async () => ({ ...kept }),
  set: async (values: Record<string, unknown>) => void Object.assign(kept, values),
  remove: async () => undefined,
});
/** Where it is an array, whether the user is there is answered when the test says so. */
let held: Array<() => void> | null = null;

interface Worker {
  commit: (url: string, at: number, tabId?: number) => void;
  close: () => void;
  /** How often it asked what is open. */
  looks: () => number;
  /** What the consent page or the popup stores. */
  store: (name: 'capture' | 'pause', value: unknown) => void;
}

/** A worker of a browser that has that page open. */
async function worker(url: string): Promise<Worker> {
  vi.resetModules();
  const changed = event();
  const tab = { id: 1, windowId: 1, active: true, incognito: false, discarded: false, status: 'complete', url, title: 'Open' };
  const events = (these: string[]): Record<string, ReturnType<typeof event>> => Object.fromEntries(these.map((name) => [name, event()]));
  let open = [tab];
  const query = vi.fn(async () => structuredClone(open));
  const navigation = events(['onBeforeNavigate', 'onCommitted', 'onHistoryStateUpdated', 'onReferenceFragmentUpdated', 'onErrorOccurred', 'onCreatedNavigationTarget']);
  const tabs = events(['onCreated', 'onUpdated', 'onActivated', 'onAttached', 'onReplaced', 'onRemoved']);
  vi.stubGlobal('chrome', {
    runtime: {
      id: 'me', getManifest: () => ({ version: '1' }), getURL: (path: string) => path, onConnect: event(), onInstalled: event(), onStartup: event(),
      connectNative: nativePort,
    },
    storage: { local: area(local), session: area(session), onChanged: changed },
    webNavigation: navigation,
    tabs: { ...tabs, query },
    windows: { ...events(['onFocusChanged', 'onRemoved']), WINDOW_ID_NONE: -1, getLastFocused: async () => ({ id: 1, focused: true }) },
    idle: { ...events(['onStateChanged']), setDetectionInterval: () => undefined, queryState: async () => {
      if (held !== null) await new Promise<void>((resolve) => held?.push(resolve));
      return 'active';
    } },
    alarms: { onAlarm: event(), get: async () => ({}), create: async () => undefined, clear: async () => true },
    action: { setBadgeBackgroundColor: async () => undefined, setBadgeTextColor: async () => undefined, setBadgeText: async () => undefined, setTitle: async () => undefined },
    i18n: { getMessage: (key: string) => key },
  });
  await import('../index');
  const commit = (to: string, at: number, tabId = 1): void => {
    const there = open.find(({ id }) => id === tabId);
    if (there === undefined) open.push({ ...tab, id: tabId, url: to });
    else there.url = to;
    navigation['onCommitted']?.fire({ tabId, frameId: 0, url: to, timeStamp: at });
  };
  const close = (): void => {
    open = open.filter(({ id }) => id !== 1);
    tabs['onRemoved']?.fire(1);
  };
  const store = (name: string, newValue: unknown): void => {
    const oldValue = local[name];
    if (newValue === undefined) delete local[name];
    else local[name] = newValue;
    changed.fire({ [name]: { oldValue, newValue } }, 'local');
  };
  return { commit, close, looks: () => query.mock.calls.length, store };
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
  [account, rules, greets, greet, session, written, held] = [{ ref: 'a', email: '' }, [], true, [], {}, [], null];
  for (const key of Object.keys(local)) delete local[key];
  local['capture'] = AGREED;
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

it('what the browser says between the answers of a look is not undone by it', async () => {
  const answers: (() => void)[] = (held = []);
  const { commit, close, looks } = await worker('https://open.example/');
  await until(() => answers.length === 1 && looks() > 0);
  // Its tab is closed, which was the only one.
  close();
  held = null;
  answers[0]?.();
  await until(() => looks() > 1);
  commit('https://next.example/', Date.now(), 2);
  await until(() => urls('a').includes('https://next.example/'));
  expect(written.filter((text) => text.includes('open.example'))).toEqual([]);
});

const PAUSED = { since: 0, until: null };
it.each([
  ['before the consent', (w: Worker): void => w.store('capture', { ...AGREED, decidedAt: Date.now() }), { capture: undefined }],
  ['in a pause that the user ended', (w: Worker): void => w.store('pause', undefined), { pause: PAUSED }],
  ['in a pause that ended by its time', (w: Worker): void => w.store('pause', undefined), { pause: { since: 0, until: Date.now() + 3_600_000 } }],
  ['in a pause whose end nobody has noticed yet', (_: Worker): void => undefined, { pause: { since: 0, until: 0 } }],
] as const)('where the host is slow, what happened %s is not looked at', async (_, end, stored) => {
  greets = false;
  for (const [name, value] of Object.entries(stored)) local[name] = value;
  const began = Date.now();
  const of = (pause: unknown, until: number): void => {
    if (pause !== undefined && (pause as { until: unknown }).until !== null) local['pause'] = { since: 0, until };
  };
  of(local['pause'], began + 3_600_000);
  const w = await worker('https://blank.example/');
  w.commit('https://secret.example/', began - 5);
  await until(() => greet.length === 1);
  of(local['pause'], Date.now());
  await new Promise((resolve) => setTimeout(resolve, 20));
  const kept = Date.now();
  end(w);
  w.commit('https://kept.example/', Date.now() + 1);
  w.commit('https://open.example/', Date.now() + 2);
  for (const say of greet) say();
  await until(() => w.looks() > 0);
  w.close();
  await until(() => urls('a').length === 2);
  expect(urls('a')).toEqual(['https://kept.example/', 'https://open.example/']);
  expect(visits('a')[0]?.startedAt).toBeGreaterThanOrEqual(kept);
  expect(written.filter((text) => text.includes('secret'))).toEqual([]);
});

it('while capture is paused nobody looks at the browser, whoever signs in', async () => {
  local['pause'] = PAUSED;
  const { looks } = await worker('https://open.example/');
  const kept = (ref: string): boolean => written.some((text) => text.includes(`"current":"${ref}"`));
  await until(() => kept('a'));
  await new Promise((resolve) => setTimeout(resolve, 100));
  push({ type: 'status', id: 'status', state: 'up_to_date', reason: null, backlog: { pageVisits: 0, tabAggregates: 0 }, failed: 0, lastConfirmedAt: null, nextAttemptAt: null, account: { ref: 'b', email: '' }, agentRunning: true });
  await until(() => kept('b'));
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(looks()).toBe(0);
});
