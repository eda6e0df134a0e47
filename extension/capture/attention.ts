/**
 * Where the user's attention is, and the account of time.
 *
 * Invariant: each moment up to `core.seenAt` is accounted exactly once: as active time of
 * the visit in front, as one of its idle periods, or to nobody where no page is in front.
 */
import type { Core, Presence, State, Tab, Visit } from './types';
import { domainOf } from './urls';

/** Beats come every 20 to 30 s; a gap this long means that the machine slept. */
export const SLEEP_GAP_MS = 150_000;
/** Events come late by milliseconds; a step back beyond this is the clock's. */
export const CLOCK_SET_BACK_MS = 10_000;

/** Whole milliseconds, in order; but a clock that was set back is followed. */
export function momentOf(core: Core, at: number): number {
  const whole = Math.floor(at);
  return whole < core.seenAt - CLOCK_SET_BACK_MS ? whole : Math.max(whole, core.seenAt);
}

/** The active tab of the focused window. */
export function frontOf(state: State): Tab | null {
  for (const tab of state.tabs.values()) {
    if (tab.active && tab.windowId === state.core.focusedWindow) return tab;
  }
  return null;
}

/** Accounts for the time up to `at` with what was true until now; answers the tab that it went to. */
export function advance(state: State, at: number): Tab | null {
  const { core } = state;
  const from = core.seenAt;
  core.seenAt = at;
  const front = frontOf(state);
  if (at <= from || front?.visit == null) return null;
  const presence: Presence = at - from > SLEEP_GAP_MS ? 'asleep' : core.presence;
  if (presence !== 'active') {
    pauseFor(front.visit, from, at, presence);
    return front;
  }
  const { visit, life } = front;
  const domain = domainOf(visit.url);
  visit.activeMs += at - from;
  life.activeMs += at - from;
  life.domainMs.set(domain, (life.domainMs.get(domain) ?? 0) + (at - from));
  life.lastActiveTime = at;
  return front;
}

function pauseFor(visit: Visit, from: number, to: number, reason: Exclude<Presence, 'active'>): void {
  const last = visit.idlePeriods.at(-1);
  if (last !== undefined && last.end === from && last.reason === reason) {
    last.end = to;
    last.durationMs = to - last.start;
  } else {
    visit.idlePeriods.push({ start: from, end: to, durationMs: to - from, reason });
  }
}
