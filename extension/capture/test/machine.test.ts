import { describe, expect, it } from 'vitest';
import { apply, emptyState, FIRST_VERSION_MS, HEARTBEAT_MS, nextDue } from '../machine';
import type { Emitted, Event, State, TabInfo } from '../types';

const T0 = 1_800_000_000_000;
const A = 'https://a.example/';
const B = 'https://b.example/page?x=1';

type Loose = Event extends infer E ? (E extends { at: number } ? Omit<E, 'at'> : never) : never;

/** A browser with a window 1 in front and a tab 10 in it; seconds pass as told. */
class Browser {
  state: State = emptyState();
  all: Emitted[] = [];
  private ids = 0;
  private time = T0;

  constructor(session = 's1') {
    this.at(0, { type: 'session', session });
    this.at(0, { type: 'reconciled', tabs: [], focusedWindow: 1, presence: 'active' });
    this.at(0, { type: 'tabOpened', tab: tab(10) });
  }

  /** `seconds` later, that happens. */
  at(seconds: number, event: Loose): Emitted[] {
    this.time += seconds * 1_000;
    const { records } = apply(this.state, { ...event, at: this.time }, () => `id${++this.ids}`);
    this.all.push(...records);
    return records;
  }

  go(seconds: number, url: string | null, tabId = 10): Emitted[] {
    return this.at(seconds, { type: 'committed', tabId, url });
  }

  /** Time with its beats, as it passes in a browser that runs. */
  pass(seconds: number): void {
    for (let left = seconds; left > 0; left -= 20) this.at(Math.min(20, left), { type: 'beat' });
  }

  /** The last version of each visit, in the order they began. */
  visits(): Record<string, unknown>[] {
    return this.last('pageVisit');
  }

  lives(): Record<string, unknown>[] {
    return this.last('tabAggregate');
  }

  private last(kind: Emitted['kind']): Record<string, unknown>[] {
    const byId = new Map<unknown, Record<string, unknown>>();
    for (const { kind: k, record } of this.all) if (k === kind) byId.set(record['id'], record);
    return [...byId.values()].sort((a, b) => Number(a['startedAt'] ?? a['startTime']) - Number(b['startedAt'] ?? b['startTime']));
  }
}

function tab(tabId: number, more: Partial<TabInfo> = {}): TabInfo {
  return { tabId, windowId: 1, active: true, unloaded: false, url: null, title: '', ...more };
}

describe('a visit', () => {
  it('is told in whole milliseconds, though a browser says when a page came in parts of them', () => {
    const browser = new Browser();
    browser.at(0.000_192, { type: 'session', session: 's2' });
    browser.at(0, { type: 'tabOpened', tab: tab(20) });
    browser.go(0, A, 20);
    browser.go(3, B, 20);
    expect(browser.visits().filter(({ url }) => url === A)).toMatchObject([{ startedAt: T0, visited_at: T0, duration: 3_000 }]);
  });

  it('begins with the page and ends when the tab leaves it', () => {
    const browser = new Browser();
    browser.go(1, A);
    browser.at(0, { type: 'titled', tabId: 10, title: 'Page A' });
    browser.go(10, B);
    expect(browser.visits()).toEqual([
      {
        id: expect.any(String), tabId: 10, url: A, domain: 'a.example', title: 'Page A',
        visited_at: T0 + 1_000, startedAt: T0 + 1_000, endedAt: T0 + 11_000,
        durationSeconds: 10, duration: 10_000, isActive: false, activeDuration: 10_000, idlePeriods: [],
        engagementRate: 1, lastHeartbeat: T0 + 11_000,
      },
    ]);
  });

  it('is told soon after it began, once, and again when it ends', () => {
    const browser = new Browser();
    expect(browser.go(1, A)).toEqual([]);
    expect(nextDue(browser.state)).toBe(T0 + 1_000 + FIRST_VERSION_MS);
    const first = browser.at(FIRST_VERSION_MS / 1_000, { type: 'beat' });
    expect(first.map((e) => [e.kind, e.record['isActive'] ?? e.record['isOpen']])).toEqual([['pageVisit', true], ['tabAggregate', true]]);
    expect(first[0]?.record['endedAt']).toBeNull();
    expect(nextDue(browser.state)).toBeNull();
    expect(browser.at(1, { type: 'beat' })).toEqual([]);
    const final = browser.go(1, B);
    expect(final[0]?.record['id']).toBe(first[0]?.record['id']);
    expect(final[0]?.record['endedAt']).toBe(T0 + 1_000 + FIRST_VERSION_MS + 2_000);
  });

  it('is told again at intervals while it is in front, and not in the background', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(0, { type: 'tabOpened', tab: tab(11, { active: false }) });
    browser.go(0, B, 11);
    browser.pass(HEARTBEAT_MS / 1_000 + 40);
    const count = (url: string): number => browser.all.filter((e) => e.record['url'] === url).length;
    expect([count(A), count(B)]).toEqual([2, 1]);
  });

  it('is only for web pages', () => {
    const browser = new Browser();
    browser.go(1, A);
    browser.go(5, 'about:blank');
    browser.go(5, null);
    browser.go(5, 'file:///etc/hosts');
    browser.pass(20);
    expect(browser.visits().map((v) => [v['url'], v['duration']])).toEqual([[A, 5_000]]);
  });

  it('goes on through a reload, and begins anew when the address is visited after another', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.go(5, A);
    browser.go(5, B);
    browser.go(1, A);
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => v['duration'])).toEqual([10_000, 1_000, 1_000]);
  });

  it('begins with each address of a single-page application, but not with a place on the page', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(1, { type: 'moved', tabId: 10, url: `${A}#chapter` });
    browser.at(1, { type: 'moved', tabId: 10, url: `${A}two` });
    browser.at(1, { type: 'moved', tabId: 10, url: `${A}two` });
    browser.at(1, { type: 'moved', tabId: 10, url: `${A}two#/route` });
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => v['url'])).toEqual([`${A}#chapter`, `${A}two`, `${A}two#/route`]);
  });

  it('is not begun twice by the two events that tell of one page', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(0.2, { type: 'shown', tabId: 10, url: A, title: 'Title' });
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => v['title'])).toEqual(['Title']);
  });

  it('begins with a page that was prerendered and is shown without a commit', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(3, { type: 'shown', tabId: 10, url: B, title: 'B' });
    browser.at(2, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => [v['url'], v['duration']])).toEqual([[A, 3_000], [B, 2_000]]);
  });

  it('is not begun by a page that failed to load, nor ended by a load that was aborted', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(2, { type: 'failed', tabId: 10, url: B, aborted: true });
    browser.at(2, { type: 'failed', tabId: 10, url: B, aborted: false });
    browser.at(0, { type: 'shown', tabId: 10, url: B, title: 'B' });
    browser.at(2, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => [v['url'], v['duration']])).toEqual([[A, 4_000]]);
  });

  it('is not begun by an error page that is committed, but by the page when it loads after all', () => {
    const browser = new Browser();
    browser.at(0, { type: 'loading', tabId: 10 });
    browser.at(0, { type: 'failed', tabId: 10, url: B, aborted: false });
    browser.go(0, B);
    browser.at(0, { type: 'shown', tabId: 10, url: B, title: 'Problem' });
    browser.at(9, { type: 'loading', tabId: 10 });
    browser.go(0, B);
    browser.at(2, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => [v['url'], v['duration']])).toEqual([[B, 2_000]]);
  });

  it('knows the visit whose page opened its tab, also after that page was left', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(1, { type: 'openedFrom', tabId: 11, sourceTabId: 10 });
    browser.at(0, { type: 'tabOpened', tab: tab(11) });
    browser.go(0.1, `${A}later`);
    browser.go(0.1, B, 11);
    browser.go(1, `${B}&next`, 11);
    browser.at(1, { type: 'stopped' });
    const [opener] = browser.visits();
    const source = Object.fromEntries(browser.visits().map((v) => [v['url'], v['source_page_visit_id']]));
    expect(source).toEqual({ [A]: undefined, [`${A}later`]: undefined, [B]: opener?.['id'], [`${B}&next`]: undefined });
  });

  it('has a close time only where the tab was closed', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.go(1, B);
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => v['closedAt'])).toEqual([undefined, T0 + 2_000]);
  });
});

describe('active time', () => {
  it('goes to the tab in front only', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(10, { type: 'tabOpened', tab: tab(11) });
    browser.go(0, B, 11);
    browser.at(5, { type: 'activated', tabId: 10, windowId: 1 });
    browser.at(3, { type: 'stopped' });
    expect(browser.visits().map((v) => [v['url'], v['duration'], v['activeDuration']])).toEqual([[A, 18_000, 13_000], [B, 8_000, 5_000]]);
  });

  it('follows the focus between windows, and stops where none has it', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(0, { type: 'tabOpened', tab: tab(20, { windowId: 2 }) });
    browser.go(0, B, 20);
    browser.at(4, { type: 'focused', windowId: 2 });
    browser.at(3, { type: 'focused', windowId: null });
    browser.at(9, { type: 'focused', windowId: 1 });
    browser.at(1, { type: 'stopped' });
    expect(browser.visits().map((v) => v['activeDuration'])).toEqual([5_000, 3_000]);
  });

  it('stays with a tab that is moved to another window', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(2, { type: 'attached', tabId: 10, windowId: 2 });
    browser.at(0, { type: 'activated', tabId: 10, windowId: 2 });
    browser.at(0, { type: 'focused', windowId: 2 });
    browser.at(3, { type: 'stopped' });
    expect(browser.visits().map((v) => [v['duration'], v['activeDuration']])).toEqual([[5_000, 5_000]]);
    expect(browser.lives()).toHaveLength(1);
  });

  it('pauses while the user is idle or the screen is locked, with the periods named', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.pass(60);
    browser.at(0, { type: 'presence', presence: 'idle' });
    browser.pass(40);
    browser.at(0, { type: 'presence', presence: 'locked' });
    browser.pass(20);
    browser.at(0, { type: 'presence', presence: 'active' });
    browser.at(5, { type: 'closed', tabId: 10 });
    expect(browser.visits()[0]).toMatchObject({
      duration: 125_000, activeDuration: 65_000, engagementRate: 0.52,
      idlePeriods: [
        { start: T0 + 60_000, end: T0 + 100_000, durationMs: 40_000, reason: 'idle' },
        { start: T0 + 100_000, end: T0 + 120_000, durationMs: 20_000, reason: 'locked' },
      ],
    });
  });

  it('does not count the hours a machine slept', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.pass(20);
    browser.at(3_600, { type: 'beat' });
    browser.at(10, { type: 'closed', tabId: 10 });
    expect(browser.visits()[0]).toMatchObject({
      activeDuration: 30_000, durationSeconds: 3_630,
      idlePeriods: [{ start: T0 + 20_000, end: T0 + 3_620_000, durationMs: 3_600_000, reason: 'asleep' }],
    });
  });

  it('is never negative when the clock is set back, and the next visit is right again', () => {
    const browser = new Browser();
    browser.go(10, A);
    browser.at(-3_600, { type: 'beat' });
    browser.go(5, B);
    browser.at(7, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => [v['url'], v['duration'], v['activeDuration'] as number <= Number(v['duration'])])).toEqual([
      [B, 7_000, true], [A, 0, true],
    ]);
  });

  it('takes an event that comes a little late for one of now', () => {
    const browser = new Browser();
    browser.go(10, A);
    browser.go(-0.2, B);
    browser.at(1.2, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => v['duration'])).toEqual([0, 1_000]);
  });
});

describe('a tab life', () => {
  it('adds up what its pages were', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.go(10, B);
    browser.go(4, `${A}again`);
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.lives()).toEqual([
      {
        id: expect.any(String), tabId: 10, startTime: T0, lastActiveTime: T0 + 15_000, totalActiveDuration: 15_000,
        domainDurations: { 'a.example': 11_000, 'b.example': 4_000 }, pageCount: 3,
        currentUrl: `${A}again`, currentDomain: 'a.example',
        statistics: { mostVisitedDomain: 'a.example', averagePageDuration: 5_000, activations: 1 },
        isOpen: false, closed_at: T0 + 15_000, page_visit_id: browser.visits()[2]?.['id'],
      },
    ]);
  });

  it('without a web page is not told', () => {
    const browser = new Browser();
    browser.pass(40);
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.all).toEqual([]);
  });

  it('is told when the tab rests on something that is no page, and once only', () => {
    const browser = new Browser();
    browser.go(0, A);
    const told = browser.go(10, 'about:blank');
    expect(told.map((e) => e.kind)).toEqual(['pageVisit', 'tabAggregate']);
    expect(told[1]?.record).toMatchObject({ isOpen: true, totalActiveDuration: 10_000 });
    expect(browser.at(1, { type: 'shown', tabId: 10, url: null, title: '' })).toEqual([]);
  });

  it('goes on when the browser renumbers the tab', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(5, { type: 'replaced', tabId: 10, byTabId: 77 });
    browser.go(5, B, 77);
    browser.at(5, { type: 'closed', tabId: 77 });
    expect(browser.lives()).toMatchObject([{ tabId: 10, pageCount: 2, totalActiveDuration: 15_000 }]);
    expect(browser.visits().map((v) => v['tabId'])).toEqual([10, 10]);
  });
});

describe('a start of the worker', () => {
  it('in the same browser session goes on where it was', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(30, { type: 'session', session: 's1' });
    browser.at(0, { type: 'reconciled', tabs: [tab(10, { url: A, title: 'A' })], focusedWindow: 1, presence: 'active' });
    browser.at(30, { type: 'closed', tabId: 10 });
    expect(browser.visits()).toMatchObject([{ title: 'A', duration: 60_000, activeDuration: 60_000 }]);
  });

  it('finds what happened while nobody listened', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(0, { type: 'tabOpened', tab: tab(11, { active: false }) });
    browser.go(1, B, 11);
    const tabs = [tab(10, { url: `${A}moved` }), tab(12, { url: B, active: false })];
    browser.at(30, { type: 'session', session: 's1' });
    browser.at(0, { type: 'reconciled', tabs, focusedWindow: 1, presence: 'active' });
    browser.at(5, { type: 'stopped' });
    expect(browser.visits().map((v) => [v['url'], v['tabId'], v['duration']])).toEqual([
      [A, 10, 31_000], [B, 11, 30_000], [`${A}moved`, 10, 5_000], [B, 12, 5_000],
    ]);
  });

  it('takes events that woke it before what it sees', () => {
    const browser = new Browser();
    browser.at(1, { type: 'session', session: 's1' });
    browser.go(0, A);
    browser.go(1, B);
    browser.at(0, { type: 'reconciled', tabs: [tab(10, { url: B })], focusedWindow: 1, presence: 'active' });
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => v['url'])).toEqual([A, B]);
  });

  it('after a crash of the browser ends what was open at the last moment it was seen', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.pass(40);
    browser.at(7_200, { type: 'session', session: 's2' });
    browser.at(0, { type: 'reconciled', tabs: [tab(10, { url: A }), tab(11, { url: B, active: false, unloaded: true })], focusedWindow: 1, presence: 'active' });
    expect(browser.visits()).toMatchObject([{ endedAt: T0 + 40_000, duration: 40_000 }]);
    expect(browser.visits()[0], 'nobody closed its tab').not.toHaveProperty('closedAt');
    expect(browser.lives()).toMatchObject([{ isOpen: false, closed_at: T0 + 40_000 }]);
    browser.at(10, { type: 'stopped' });
    expect(browser.visits().map((v) => [v['url'], v['startedAt'], v['duration']])).toEqual([[A, T0, 40_000], [A, T0 + 7_240_000, 10_000]]);
  });

  it('begins the visit of a lazily restored tab when it is loaded', () => {
    const browser = new Browser();
    browser.at(0, { type: 'reconciled', tabs: [tab(11, { url: B, active: false, unloaded: true })], focusedWindow: 1, presence: 'active' });
    browser.pass(60);
    browser.go(0, B, 11);
    browser.at(5, { type: 'closed', tabId: 11 });
    expect(browser.visits().map((v) => [v['url'], v['duration']])).toEqual([[B, 5_000]]);
  });
});

describe('privacy and consent', () => {
  it('new rules make an open visit as if it had not been', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.pass(20);
    browser.all = [];
    browser.at(0, { type: 'readmitted', admit: (url) => (url === A ? null : url) });
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(JSON.stringify(browser.all)).not.toContain('a.example');
  });

  it('and so do they the time on a page that was left', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.go(10, B);
    browser.all = [];
    browser.at(5, { type: 'readmitted', admit: (url) => (url.startsWith(A) ? null : url) });
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(JSON.stringify(browser.all)).not.toContain('a.example');
    expect(browser.lives()).toMatchObject([{ domainDurations: { 'b.example': 6_000 } }]);
  });

  const drops = (...begin: string[]) => (url: string): string | null => (begin.some((one) => url.startsWith(one)) ? null : url);

  it('a rule for the page that is open: its tab is told without it at once, and its end is told', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.pass(60);
    browser.go(0, B);
    browser.pass(20);
    expect(browser.lives()).toMatchObject([{ currentUrl: B, page_visit_id: browser.visits()[1]?.['id'] }]);
    browser.all = [];
    browser.at(0, { type: 'readmitted', admit: drops('https://b.example/') });
    expect(browser.lives()).toMatchObject([{ isOpen: true, domainDurations: { 'a.example': 60_000 }, lastActiveTime: T0 + 80_000 }]);
    browser.pass(20);
    browser.at(10, { type: 'closed', tabId: 10 });
    expect(browser.lives()).toMatchObject([{ isOpen: false, closed_at: T0 + 110_000, pageCount: 2 }]);
    expect(JSON.stringify(browser.all)).not.toContain('b.example');
    for (const life of browser.lives()) for (const name of ['page_visit_id', 'currentUrl', 'currentDomain']) expect(life).not.toHaveProperty(name);
  });

  it.each([[20, [false]], [1, []]])('a tab that only ever showed what a rule drops, told after %i s, is told as ended where it was told at all', (seconds, open) => {
    const browser = new Browser();
    browser.go(0, B);
    browser.pass(seconds);
    browser.all = [];
    browser.at(0, { type: 'readmitted', admit: drops('https://b.example/') });
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.lives().map((life) => life['isOpen'])).toEqual(open);
    expect(JSON.stringify(browser.all)).not.toContain('b.example');
  });

  it('what a tab that rests on no page showed before is judged too, and written', () => {
    const browser = new Browser();
    browser.go(0, B);
    browser.go(5, null);
    const sift = (admit: (url: string) => string | null): number[] => [...apply(browser.state, { type: 'readmitted', at: T0 + 5_000, admit }, () => '').touched];
    expect(sift((url) => url.replace(/\?.*/, ''))).toEqual([10]);
    expect(browser.state.tabs.get(10)?.life.url).toBe('https://b.example/page');
    // By a rule for this address, which leaves the domain.
    expect(sift(drops('https://b.example/page'))).toEqual([10]);
    browser.all = [];
    browser.at(1, { type: 'closed', tabId: 10 });
    expect(browser.lives()).toMatchObject([{ isOpen: false, domainDurations: { 'b.example': 5_000 } }]);
    expect(browser.lives()[0]).not.toHaveProperty('page_visit_id');
  });

  it.each([['still open', []], ['left', [{ type: 'committed', tabId: 10, url: A }]]] as [string, Loose[]][])('no page that is open points to what is forgotten, whether that is %s', (_, meanwhile) => {
    const browser = new Browser();
    browser.go(0, B);
    for (const tabId of [11, 12]) {
      browser.at(5, { type: 'openedFrom', tabId, sourceTabId: 10 });
      browser.at(0, { type: 'tabOpened', tab: tab(tabId) });
    }
    browser.go(0, A, 11);
    for (const event of meanwhile) browser.at(1, event);
    browser.pass(10);
    browser.at(0, { type: 'readmitted', forget: true, admit: drops('https://b.example/') });
    browser.all = [];
    // This one was empty until now.
    browser.go(1, A, 12);
    browser.at(1, { type: 'stopped' });
    expect(browser.visits().length).toBeGreaterThan(1);
    expect(JSON.stringify([browser.all, [...browser.state.tabs]])).not.toMatch(/source_page_visit_id|b\.example/);
  });

  it.each(['account', 'stopped'] as const)('the page for an address that failed is no visit after %s either', (type) => {
    const browser = new Browser();
    browser.at(0, { type: 'account', stamp: { ref: 'a', signedOutOf: null } });
    browser.at(0, { type: 'loading', tabId: 10 });
    browser.at(0, { type: 'failed', tabId: 10, url: B, aborted: false });
    browser.go(0, B);
    browser.at(5, type === 'account' ? { type, stamp: { ref: 'b', signedOutOf: null } } : { type });
    browser.at(1, { type: 'reconciled', tabs: [tab(10, { url: B, title: 'Problem' })], focusedWindow: 1, presence: 'active' });
    browser.pass(20);
    expect(browser.all).toEqual([]);
    browser.at(0, { type: 'loading', tabId: 10 });
    browser.go(0, B);
    browser.at(2, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => [v['url'], v['duration']])).toEqual([[B, 2_000]]);
  });

  it('a tab that failed before a pause and shows a page after it has a visit of that', () => {
    const browser = new Browser();
    browser.at(0, { type: 'loading', tabId: 10 });
    browser.at(0, { type: 'failed', tabId: 10, url: B, aborted: false });
    browser.go(0, B);
    browser.at(5, { type: 'stopped' });
    browser.at(60, { type: 'reconciled', tabs: [tab(10, { url: A, title: 'A' })], focusedWindow: 1, presence: 'active' });
    browser.at(2, { type: 'closed', tabId: 10 });
    expect(browser.visits().map((v) => v['url'])).toEqual([A]);
  });

  it('a rule holds for an address that failed as well', () => {
    const browser = new Browser();
    browser.at(0, { type: 'failed', tabId: 10, url: B, aborted: false });
    expect([...apply(browser.state, { type: 'readmitted', at: T0, admit: drops('https://b.example/') }, () => '').touched]).toEqual([10]);
    expect(JSON.stringify([...browser.state.tabs])).not.toContain('b.example');
  });

  it('ends everything when capture is turned off', () => {
    const browser = new Browser();
    browser.go(0, A);
    browser.at(5, { type: 'stopped' });
    expect(browser.visits()).toMatchObject([{ endedAt: T0 + 5_000 }]);
    expect(browser.state.tabs.size).toBe(0);
  });

  it.each([
    ['the browser shows it once more', []],
    ['somebody else signs in', [{ type: 'account', stamp: { ref: 'b', signedOutOf: null } }]],
    ['capture is paused and resumed', [{ type: 'stopped' }]],
  ] as [string, Loose[]][])('what is forgotten begins only when somebody goes there: %s', (_, meanwhile) => {
    const browser = new Browser();
    browser.at(0, { type: 'account', stamp: { ref: 'a', signedOutOf: null } });
    browser.go(0, A);
    browser.at(5, { type: 'readmitted', forget: true, admit: (url) => (url.startsWith(A) ? null : url) });
    browser.all = [];
    for (const event of meanwhile) browser.at(1, event);
    const look = (): Emitted[] => browser.at(1, { type: 'reconciled', tabs: [tab(10, { url: A })], focusedWindow: 1, presence: 'active' });
    look();
    browser.at(1, { type: 'shown', tabId: 10, url: A, title: 'A' });
    look();
    browser.pass(60);
    expect(browser.all).toEqual([]);
    browser.go(0, A);
    browser.pass(10);
    browser.at(0, { type: 'closed', tabId: 10 });
    expect(browser.visits()).toMatchObject([{ url: A, duration: 10_000 }]);
  });

  it.each(['constructor', '__proto__', 'hasownproperty'])('a host that is called %s has its time like any other', (host) => {
    const browser = new Browser();
    browser.go(0, `http://${host}/`);
    browser.pass(10);
    browser.at(0, { type: 'closed', tabId: 10 });
    expect(JSON.parse(JSON.stringify(browser.lives()[0]?.['domainDurations']))).toEqual(JSON.parse(`{"${host}":10000}`));
  });
});
