/**
 * What the capture keeps and what moves it.
 *
 * Terms: a *visit* is one continuous stay on one page in one tab. A *tab life* runs from
 * the tab's first sight to its close; ids of tabs come again after a restart of the
 * browser, lives do not. Times are milliseconds since the epoch.
 */
import type { JsonObject, Kind, Stamp } from '../companion';

export interface IdlePeriod {
  start: number;
  end: number;
  durationMs: number;
  reason: Exclude<Presence, 'active'>;
}

/** `asleep`: nobody looked for so long that the machine or the browser must have stood still. */
export type Presence = 'active' | 'idle' | 'locked' | 'asleep';

export interface Visit {
  id: string;
  url: string;
  title: string;
  startedAt: number;
  sourceVisitId: string | null;
  /** Where that was: it may have ended when it is forgotten. */
  sourceUrl?: string | null;
  activeMs: number;
  idlePeriods: IdlePeriod[];
  /** When a version of it was last given out; null before the first. */
  sentAt: number | null;
}

export interface Life {
  id: string;
  /** The tab's id when the life began; kept if the browser renumbers the tab. */
  tabId: number;
  startTime: number;
  lastActiveTime: number;
  activeMs: number;
  /** No plain object: a host may be called `constructor`. */
  domainMs: Map<string, number>;
  pageCount: number;
  activations: number;
  /** The latest visit of this life; null before the first, and where that was forgotten. */
  visitId: string | null;
  /** The latest visit's; empty where there is none. */
  url: string;
  /** A version of it was given out: its end is told as well, whatever is forgotten meanwhile. */
  told: boolean;
}

export interface Tab {
  tabId: number;
  windowId: number;
  active: boolean;
  /** The visit whose page opened this tab, until the first visit took it over. */
  openerVisitId: string | null;
  openerUrl?: string | null;
  /** An address that failed to load: what the tab shows under it is the browser's error page. */
  failedUrl: string | null;
  /** Since that failure another load began, so that a commit of the address is a page again. */
  retrying: boolean;
  /**
   * What it shows was forgotten: that the browser shows it is no visit, until the tab goes somewhere. Not its address,
   * which would be the trace that was to go.
   */
  forgotten: boolean;
  life: Life;
  visit: Visit | null;
}

export function newTab(tabId: number, windowId: number, lifeId: string, at: number): Tab {
  const life: Life = {
    id: lifeId,
    tabId,
    startTime: at,
    lastActiveTime: at,
    activeMs: 0,
    domainMs: new Map(),
    pageCount: 0,
    activations: 0,
    visitId: null,
    url: '',
    told: false,
  };
  return { tabId, windowId, active: false, openerVisitId: null, failedUrl: null, retrying: false, forgotten: false, life, visit: null };
}

export interface Core {
  /** Changes when the browser starts anew; with it all tab ids lose their meaning. */
  session: string;
  focusedWindow: number | null;
  presence: Presence;
  /** Up to here time is accounted for; after a crash everything open ends here. */
  seenAt: number;
  /** Whose records come of what is open; absent until it is known. */
  stamp?: Stamp;
}

export interface State {
  core: Core;
  tabs: Map<number, Tab>;
}

/** A tab as the browser describes it. `url` is null for what is no page or must not be kept. */
export interface TabInfo {
  tabId: number;
  windowId: number;
  active: boolean;
  /** Not loaded: restored lazily or discarded. */
  unloaded: boolean;
  url: string | null;
  title: string;
}

export type Event = { at: number } & (
  | { type: 'session'; session: string }
  | { type: 'reconciled'; tabs: TabInfo[]; focusedWindow: number | null; presence: Presence }
  | { type: 'tabOpened'; tab: TabInfo }
  | { type: 'openedFrom'; tabId: number; sourceTabId: number }
  | { type: 'loading'; tabId: number }
  | { type: 'committed'; tabId: number; url: string | null }
  | { type: 'moved'; tabId: number; url: string | null }
  | { type: 'shown'; tabId: number; url: string | null; title: string }
  | { type: 'failed'; tabId: number; url: string | null; aborted: boolean }
  | { type: 'titled'; tabId: number; title: string }
  | { type: 'activated'; tabId: number; windowId: number }
  | { type: 'attached'; tabId: number; windowId: number }
  | { type: 'replaced'; tabId: number; byTabId: number }
  | { type: 'closed'; tabId: number }
  | { type: 'focused'; windowId: number | null }
  | { type: 'presence'; presence: Presence }
  | { type: 'beat' }
  | { type: 'readmitted'; admit: (url: string) => string | null; forget?: boolean }
  | { type: 'stopped' }
  | { type: 'account'; stamp: Stamp }
);

export interface Emitted {
  kind: Kind;
  record: JsonObject;
  /** Whose it is; absent: whoever is signed in when it reaches the outbox. */
  stamp?: Stamp;
}
