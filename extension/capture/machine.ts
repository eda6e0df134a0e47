/**
 * The capture as a state machine: events in, records out. No browser, no clock, no storage.
 *
 * Invariants
 * - A tab has at most one open visit; the visit ends when the tab leaves the page, is
 *   closed, or the browser ended (then at the last moment anything was seen).
 * - What began under one account ends with it: all its versions carry that account's stamp.
 * - Active time goes to the one visit that is in front: active tab of the focused window,
 *   with the user present. Each moment is accounted once, in `attention.ts`.
 * - Every version given out has the id of its visit or life, so that a repeat replaces.
 */
import { advance, frontOf, momentOf } from './attention';
import type { Stamp } from '../companion';
import { lifeRecord, visitRecord } from './records';
import { type Core, type Emitted, type Event, type Life, newTab, type State, type Tab, type TabInfo, type Visit } from './types';
import { domainOf, isWeb, samePage } from './urls';

/** The first version waits this long: for the title, and so that a page passed through is told once. */
export const FIRST_VERSION_MS = 1_500;
/** A longer stay is told again this often: as often as the companion syncs by default. */
export const HEARTBEAT_MS = 5 * 60_000;
export interface Step {
  records: Emitted[];
  /** Tabs whose state changed or went: what a store has to write. */
  touched: Set<number>;
}

export type NewId = (at: number) => string;
type Admit = (url: string) => string | null;

export function emptyState(): State {
  return { core: { session: '', focusedWindow: null, presence: 'active', seenAt: 0 }, tabs: new Map() };
}

/** Applies one event to `state` and answers what came of it. */
export function apply(state: State, event: Event, newId: NewId): Step {
  const run = new Run(state, newId);
  const stamp = state.core.stamp;
  run.handle(event);
  if (stamp !== undefined) for (const record of run.step.records) record.stamp = stamp;
  return run.step;
}

/** When the next first version is due; null when none is. */
export function nextDue(state: State): number | null {
  let due: number | null = null;
  for (const { visit } of state.tabs.values()) {
    if (visit === null || visit.sentAt !== null) continue;
    due = Math.min(due ?? Infinity, visit.startedAt + FIRST_VERSION_MS);
  }
  return due;
}

/** The visits that are open, that a tab showed last, or that opened what is open: where they are, or were. */
export function known(state: State): { id: string; url: string }[] {
  const visits: [string | null, string | null | undefined][] = [];
  for (const { life, visit, openerVisitId, openerUrl } of state.tabs.values()) {
    visits.push([life.visitId, life.url], [openerVisitId, openerUrl]);
    if (visit !== null) visits.push([visit.id, visit.url], [visit.sourceVisitId, visit.sourceUrl]);
  }
  return visits.flatMap(([id, url]) => (id === null || url == null || url === '' ? [] : [{ id, url }]));
}

class Run {
  readonly step: Step = { records: [], touched: new Set() };

  constructor(
    private readonly state: State,
    private readonly newId: NewId,
  ) {}

  private get core(): Core {
    return this.state.core;
  }

  handle(event: Event): void {
    if (event.type === 'session') {
      this.begin(event);
      return;
    }
    const at = momentOf(this.core, event.at);
    const front = advance(this.state, at);
    if (front !== null) this.touch(front);
    switch (event.type) {
      case 'reconciled':
        this.reconcile(event, at);
        break;
      case 'tabOpened':
        this.open(event.tab, at);
        break;
      case 'openedFrom': {
        const source = this.state.tabs.get(event.sourceTabId);
        const tab = this.tab(event.tabId, source?.windowId ?? -1, at);
        if (tab.life.pageCount > 0) break;
        tab.openerVisitId = source?.visit?.id ?? null;
        tab.openerUrl = source?.visit?.url ?? null;
        break;
      }
      case 'loading': {
        const tab = this.state.tabs.get(event.tabId);
        if (tab === undefined || tab.failedUrl === null) break;
        tab.retrying = true;
        this.touch(tab);
        break;
      }
      case 'committed':
        this.committed(event, at);
        break;
      case 'moved': {
        const tab = this.tab(event.tabId, -1, at);
        if (tab.visit !== null && event.url !== null && samePage(tab.visit.url, event.url)) this.stay(tab, event.url);
        else this.go(tab, event.url, at);
        break;
      }
      case 'shown':
        this.shown(event, at);
        break;
      case 'failed': {
        const tab = this.tab(event.tabId, -1, at);
        if (event.aborted) break;
        tab.failedUrl = event.url;
        tab.retrying = false;
        this.leave(tab, at, false);
        break;
      }
      case 'titled': {
        const tab = this.state.tabs.get(event.tabId);
        if (tab?.visit && event.title !== '') {
          tab.visit.title = event.title;
          this.touch(tab);
        }
        break;
      }
      case 'activated':
        this.activate(event.tabId, event.windowId, at);
        break;
      case 'attached': {
        const tab = this.tab(event.tabId, event.windowId, at);
        tab.windowId = event.windowId;
        break;
      }
      case 'replaced':
        this.replace(event.tabId, event.byTabId);
        break;
      case 'closed':
        this.close(event.tabId, at);
        break;
      case 'focused':
        this.core.focusedWindow = event.windowId;
        break;
      case 'presence':
        this.core.presence = event.presence;
        break;
      case 'readmitted':
        this.readmit(event.admit, event.forget === true);
        break;
      case 'stopped':
        this.endAll(at);
        break;
      case 'account':
        this.belong(event.stamp, at);
        break;
      case 'beat':
        break;
    }
    this.tellDue(at);
  }

  /** The first event of every worker: whether what was kept belongs to this run of the browser. */
  private begin(event: Extract<Event, { type: 'session' }>): void {
    if (this.core.session === event.session) return;
    for (const tabId of [...this.state.tabs.keys()]) this.close(tabId, this.core.seenAt, false);
    const { stamp } = this.core;
    this.state.core = { session: event.session, focusedWindow: null, presence: 'active', seenAt: Math.floor(event.at), ...(stamp === undefined ? {} : { stamp }) };
  }

  /** Another account, or none any more: a look at the browser follows, and begins all anew. What was nobody's goes on. */
  private belong(stamp: Stamp, at: number): void {
    const before = this.core.stamp;
    if (before?.ref === stamp.ref && before.signedOutOf === stamp.signedOutOf) return;
    if (before !== undefined && (before.ref ?? before.signedOutOf) !== null) this.endAll(at);
    this.core.stamp = stamp;
  }

  /**
   * Nobody looks any more; the tabs stay, and what was no page in one, or was forgotten, is no visit later. Of a failure
   * the address, not the tab: where that goes meanwhile is not heard, and what it shows then may be a page.
   */
  private endAll(at: number): void {
    for (const { tabId, windowId, forgotten, failedUrl, visit } of [...this.state.tabs.values()]) {
      this.close(tabId, at, false);
      if (forgotten) this.tab(tabId, windowId, at).forgotten = true;
      else if (failedUrl !== null && visit === null) this.tab(tabId, windowId, at).failedUrl = failedUrl;
    }
  }

  /** Compares what was kept with what the browser has open; events that came before are already in. */
  private reconcile(event: Extract<Event, { type: 'reconciled' }>, at: number): void {
    const { core, state } = this;
    const open = new Set(event.tabs.map((tab) => tab.tabId));
    for (const tabId of [...state.tabs.keys()]) if (!open.has(tabId)) this.close(tabId, at);
    core.focusedWindow = event.focusedWindow;
    core.presence = event.presence;
    for (const info of event.tabs) {
      const tab = this.tab(info.tabId, info.windowId, at);
      tab.windowId = info.windowId;
      if (info.active) this.activate(info.tabId, info.windowId, at);
      else tab.active = false;
      if (!info.unloaded) this.shown({ type: 'shown', at, ...info }, at);
    }
  }

  private tab(tabId: number, windowId: number, at: number): Tab {
    let tab = this.state.tabs.get(tabId);
    if (tab === undefined) {
      tab = newTab(tabId, windowId, this.newId(at), at);
      this.state.tabs.set(tabId, tab);
    }
    this.touch(tab);
    return tab;
  }

  /** A tab that is being created still loads: its page begins with the commit that follows. */
  private open(info: TabInfo, at: number): void {
    const tab = this.tab(info.tabId, info.windowId, at);
    tab.windowId = info.windowId;
    if (info.active) this.activate(info.tabId, info.windowId, at);
  }

  private committed(event: Extract<Event, { type: 'committed' }>, at: number): void {
    const tab = this.tab(event.tabId, -1, at);
    // Firefox commits its error page under the address that failed.
    if (event.url !== null && event.url === tab.failedUrl && !tab.retrying) return;
    tab.failedUrl = null;
    // A reload, by whatever name: Firefox calls some a link, and commits a duplicated tab twice.
    if (tab.visit !== null && event.url !== null && samePage(tab.visit.url, event.url)) this.stay(tab, event.url);
    else this.go(tab, event.url, at);
  }

  /** The browser shows a page under this address: a commit that was not announced (an activated prerender). */
  private shown(event: Extract<Event, { type: 'shown' }>, at: number): void {
    const tab = this.tab(event.tabId, -1, at);
    if (tab.forgotten) return;
    const there = tab.visit?.url ?? null;
    const same = there === null || event.url === null ? there === event.url : samePage(there, event.url);
    if (!same && !(event.url !== null && event.url === tab.failedUrl)) this.go(tab, event.url, at);
    if (tab.visit !== null && event.title !== '') tab.visit.title = event.title;
  }

  private go(tab: Tab, url: string | null, at: number): void {
    this.leave(tab, at, false);
    tab.forgotten = false;
    if (url === null || !isWeb(url)) {
      // No page follows whose first version would carry the life as it is now.
      this.tellLife(tab.life, null);
      return;
    }
    const visit: Visit = {
      id: this.newId(at), url, title: '', startedAt: at, sourceVisitId: tab.openerVisitId, sourceUrl: tab.openerUrl ?? null,
      activeMs: 0, idlePeriods: [], sentAt: null,
    };
    [tab.openerVisitId, tab.openerUrl] = [null, null];
    tab.visit = visit;
    tab.life.visitId = visit.id;
    tab.life.url = url;
    tab.life.pageCount += 1;
    this.touch(tab);
  }

  private stay(tab: Tab, url: string): void {
    if (tab.visit === null) return;
    tab.visit.url = url;
    tab.life.url = url;
  }

  private leave(tab: Tab, at: number, closed: boolean): void {
    if (tab.visit === null) return;
    this.tellVisit(tab, tab.visit, at, { endedAt: Math.max(at, tab.visit.startedAt), closed });
    tab.visit = null;
    this.touch(tab);
  }

  /** The life is over: with its tab, or because nobody looks at it any more. */
  private close(tabId: number, at: number, withTab = true): void {
    const tab = this.state.tabs.get(tabId);
    if (tab === undefined) return;
    this.leave(tab, at, withTab);
    this.tellLife(tab.life, at);
    this.state.tabs.delete(tabId);
    this.touch(tab);
  }

  private activate(tabId: number, windowId: number, at: number): void {
    const tab = this.tab(tabId, windowId, at);
    tab.windowId = windowId;
    for (const other of this.state.tabs.values()) {
      if (other.windowId !== windowId || !other.active || other === tab) continue;
      other.active = false;
      this.touch(other);
    }
    if (!tab.active) tab.life.activations += 1;
    tab.active = true;
  }

  private replace(tabId: number, byTabId: number): void {
    const tab = this.state.tabs.get(tabId);
    if (tab === undefined) return;
    this.state.tabs.delete(tabId);
    this.step.touched.add(tabId);
    tab.tabId = byTabId;
    this.state.tabs.set(byTabId, tab);
    this.touch(tab);
  }

  /** New privacy rules, or a site to forget: an open visit that may no longer be kept is forgotten, not ended. */
  private readmit(admit: Admit, forget: boolean): void {
    /** The visits that are forgotten. */
    const gone = new Set<string>();
    for (const tab of this.state.tabs.values()) {
      if (!this.sift(tab, admit, forget, gone)) continue;
      this.touch(tab);
      // What was told of it names what may not be kept: a version without that takes its place.
      if (tab.life.told) this.tellLife(tab.life, null);
    }
    for (const tab of this.state.tabs.values()) this.unlink(tab, admit, gone);
  }

  /**
   * Whether anything of a tab had to go. The number of its pages and its active time stay: a version with less would
   * be taken for an older one.
   */
  private sift(tab: Tab, admit: Admit, forget: boolean, gone: Set<string>): boolean {
    const { life, visit } = tab;
    let changed = false;
    for (const domain of [...life.domainMs.keys()]) {
      if (admit(`https://${domain}/`) === null) changed = life.domainMs.delete(domain);
    }
    const failed = tab.failedUrl === null ? null : admit(tab.failedUrl);
    if (failed !== tab.failedUrl) {
      tab.failedUrl = failed;
      changed = true;
    }
    const url = life.url === '' ? '' : admit(life.url);
    if (url === life.url) return changed;
    if (url !== null) {
      life.url = url;
      if (visit !== null) visit.url = url;
      return true;
    }
    // It is the latest visit's, which may be open.
    if (life.visitId !== null) gone.add(life.visitId);
    [life.url, life.visitId] = ['', null];
    if (visit === null) return true;
    life.domainMs.delete(domainOf(visit.url));
    tab.visit = null;
    tab.forgotten = forget;
    return true;
  }

  /** No page points to a visit that is forgotten, whether that was open or has ended. */
  private unlink(tab: Tab, admit: Admit, gone: ReadonlySet<string>): void {
    /** Where it was, as it may be kept; null: it is forgotten. */
    const kept = (id: string, url: string | null | undefined): string | null => (gone.has(id) ? null : admit(url ?? ''));
    const { visit } = tab;
    if (visit !== null && visit.sourceVisitId !== null) {
      const url = kept(visit.sourceVisitId, visit.sourceUrl);
      if (url === null) visit.sourceVisitId = null;
      if (url !== (visit.sourceUrl ?? '')) this.touch(tab);
      visit.sourceUrl = url;
    }
    if (tab.openerVisitId !== null) {
      const url = kept(tab.openerVisitId, tab.openerUrl);
      if (url === null) tab.openerVisitId = null;
      if (url !== (tab.openerUrl ?? '')) this.touch(tab);
      tab.openerUrl = url;
    }
  }

  private tellDue(at: number): void {
    const front = frontOf(this.state);
    for (const tab of this.state.tabs.values()) {
      const { visit, life } = tab;
      if (visit === null) continue;
      const first = visit.sentAt === null && at >= visit.startedAt + FIRST_VERSION_MS;
      const again = tab === front && visit.sentAt !== null && at >= visit.sentAt + HEARTBEAT_MS;
      if (!first && !again) continue;
      this.tellVisit(tab, visit, at, { endedAt: null, closed: false });
      this.tellLife(life, null);
      this.touch(tab);
    }
  }

  private tellVisit(tab: Tab, visit: Visit, at: number, ending: { endedAt: number | null; closed: boolean }): void {
    visit.sentAt = at;
    this.step.records.push({ kind: 'pageVisit', record: visitRecord(visit, tab.life.tabId, at, ending) });
  }

  private tellLife(life: Life, closedAt: number | null): void {
    if (life.visitId === null && !life.told) return;
    life.told = true;
    this.step.records.push({ kind: 'tabAggregate', record: lifeRecord(life, closedAt) });
  }

  private touch(tab: Tab): void {
    this.step.touched.add(tab.tabId);
  }
}
