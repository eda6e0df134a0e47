/**
 * The browser's events as events of the capture. Listeners only translate.
 *
 * Invariant: all listeners are registered synchronously by `listen`, so that the worker is
 * woken by every one of them and misses none that it was woken for.
 */
import type { Event, Presence, TabInfo } from '../capture/types';
import { isPlaceholderTitle, isWeb } from '../capture/urls';

type Admit = (url: string) => string | null;
/** Takes an event that can be made once the privacy rules are known. */
type Dispatch = (make: () => Event) => void;

/** Seconds without input after which the browser calls the user idle. */
const IDLE_SECONDS = 60;
const FOCUS_SETTLES_MS = 200;
/** An aborted load (a download, a second click) leaves the tab where it was. Firefox gives NS_BINDING_ABORTED by number. */
const ABORTED = /ERR_ABORTED|NS_BINDING_ABORTED|\b2152398850\b/;

export function listen(dispatch: Dispatch, admit: Admit): void {
  const page = (url: string | undefined): string | null => (url !== undefined && isWeb(url) ? admit(url) : null);
  const { webNavigation, tabs, windows, idle } = chrome;

  webNavigation.onBeforeNavigate.addListener((details) => {
    if (!isMainFrame(details)) return;
    dispatch(() => ({ type: 'loading', at: details.timeStamp, tabId: details.tabId }));
  });
  webNavigation.onCommitted.addListener((details) => {
    if (!isMainFrame(details)) return;
    dispatch(() => ({ type: 'committed', at: details.timeStamp, tabId: details.tabId, url: page(details.url) }));
  });
  const moved = (details: MainFrame & { url: string; timeStamp: number }): void => {
    if (!isMainFrame(details)) return;
    dispatch(() => ({ type: 'moved', at: details.timeStamp, tabId: details.tabId, url: page(details.url) }));
  };
  webNavigation.onHistoryStateUpdated.addListener(moved);
  webNavigation.onReferenceFragmentUpdated.addListener(moved);
  webNavigation.onErrorOccurred.addListener((details) => {
    if (!isMainFrame(details)) return;
    const aborted = ABORTED.test(details.error);
    dispatch(() => ({ type: 'failed', at: details.timeStamp, tabId: details.tabId, url: page(details.url), aborted }));
  });
  webNavigation.onCreatedNavigationTarget.addListener(({ tabId, sourceTabId, timeStamp: at }) => {
    dispatch(() => ({ type: 'openedFrom', at, tabId, sourceTabId }));
  });

  const now = (make: (at: number) => Event): void => {
    const at = Date.now();
    dispatch(() => make(at));
  };
  tabs.onCreated.addListener((tab) => {
    if (!tab.incognito) now((at) => ({ type: 'tabOpened', at, tab: describe(tab, admit) }));
  });
  tabs.onUpdated.addListener((tabId, change, tab) => {
    if (tab.incognito) return;
    if (change.status === 'complete' && !tab.discarded) {
      now((at) => ({ type: 'shown', at, tabId, url: page(tab.url), title: titleOf(tab) }));
    } else if (change.title !== undefined) {
      const title = titleOf(tab);
      now((at) => ({ type: 'titled', at, tabId, title }));
    }
  });
  tabs.onActivated.addListener(({ tabId, windowId }) => now((at) => ({ type: 'activated', at, tabId, windowId })));
  tabs.onAttached.addListener((tabId, { newWindowId: windowId }) => now((at) => ({ type: 'attached', at, tabId, windowId })));
  // Firefox keeps a tab's id for its life and has no such event.
  tabs.onReplaced?.addListener((byTabId, tabId) => now((at) => ({ type: 'replaced', at, tabId, byTabId })));
  tabs.onRemoved.addListener((tabId) => now((at) => ({ type: 'closed', at, tabId })));

  windows.onFocusChanged.addListener((id) => {
    const at = Date.now();
    const tell = (windowId: number | null): void => dispatch(() => ({ type: 'focused', at, windowId }));
    if (id !== windows.WINDOW_ID_NONE) tell(id);
    // Between two windows some window managers report "none", also after the new one.
    else setTimeout(() => void focusedWindow().then(tell), FOCUS_SETTLES_MS);
  });
  // Where there is no window manager, nothing is said of the window that comes forward now.
  windows.onRemoved.addListener(() => {
    const at = Date.now();
    void focusedWindow().then((windowId) => dispatch(() => ({ type: 'focused', at, windowId })));
  });
  idle.setDetectionInterval(IDLE_SECONDS);
  idle.onStateChanged.addListener((state) => now((at) => ({ type: 'presence', at, presence: presenceOf(state) })));
}

/** What the browser has open now. */
export async function snapshot(admit: Admit): Promise<Event> {
  const [tabs, windowId, idle] = await Promise.all([
    chrome.tabs.query({}),
    focusedWindow(),
    chrome.idle.queryState(IDLE_SECONDS),
  ]);
  return {
    type: 'reconciled',
    at: Date.now(),
    tabs: tabs.filter((tab) => tab.id !== undefined && !tab.incognito).map((tab) => describe(tab, admit)),
    focusedWindow: windowId,
    presence: presenceOf(idle),
  };
}

async function focusedWindow(): Promise<number | null> {
  const window = await chrome.windows.getLastFocused().catch(() => null);
  return window?.focused === true ? (window.id ?? null) : null;
}

function describe(tab: chrome.tabs.Tab, admit: Admit): TabInfo {
  return {
    tabId: tab.id ?? -1,
    windowId: tab.windowId,
    active: tab.active,
    unloaded: tab.discarded || tab.status === 'unloaded',
    url: tab.url !== undefined && isWeb(tab.url) ? admit(tab.url) : null,
    title: titleOf(tab),
  };
}

function titleOf(tab: chrome.tabs.Tab): string {
  const title = tab.title ?? '';
  return isPlaceholderTitle(title, tab.url ?? '') ? '' : title;
}

type MainFrame = { tabId: number; frameId: number; documentLifecycle?: string };

/** Prerendered pages are pages only once they are shown; Firefox names no lifecycle. */
function isMainFrame(details: MainFrame): boolean {
  return details.tabId >= 0 && details.frameId === 0 && details.documentLifecycle !== 'prerender';
}

function presenceOf(state: string): Presence {
  return state === 'locked' || state === 'idle' ? state : 'active';
}
