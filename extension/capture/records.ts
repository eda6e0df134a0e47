/**
 * The records as they go to the companion (contract, section 1): pure projections.
 *
 * An open visit has `endedAt` null and `isActive` true; the final version of the same id
 * has both settled. `closedAt` stands only where the tab itself was closed.
 */
import type { JsonObject } from '../companion';
import type { Life, Visit } from './types';
import { domainOf } from './urls';

const TITLE_MAX = 1_024;

export interface Ending {
  endedAt: number | null;
  closed: boolean;
}

export function visitRecord(visit: Visit, tabId: number, seenAt: number, ending: Ending): JsonObject {
  const duration = Math.max(0, (ending.endedAt ?? seenAt) - visit.startedAt);
  const active = Math.min(visit.activeMs, duration);
  return {
    id: visit.id,
    tabId,
    url: visit.url,
    domain: domainOf(visit.url),
    title: cut(visit.title, TITLE_MAX),
    visited_at: visit.startedAt,
    startedAt: visit.startedAt,
    endedAt: ending.endedAt,
    durationSeconds: Math.round(duration / 1_000),
    duration,
    isActive: ending.endedAt === null,
    activeDuration: active,
    idlePeriods: visit.idlePeriods,
    engagementRate: duration === 0 ? 0 : Math.round((active / duration) * 1_000) / 1_000,
    lastHeartbeat: ending.endedAt ?? seenAt,
    ...(ending.closed ? { closedAt: ending.endedAt } : {}),
    ...(visit.sourceVisitId === null ? {} : { source_page_visit_id: visit.sourceVisitId }),
  };
}

export function lifeRecord(life: Life, closedAt: number | null): JsonObject {
  const ranked = [...life.domainMs].sort(([, a], [, b]) => b - a);
  return {
    id: life.id,
    tabId: life.tabId,
    startTime: life.startTime,
    lastActiveTime: life.lastActiveTime,
    totalActiveDuration: life.activeMs,
    domainDurations: Object.fromEntries(life.domainMs),
    pageCount: life.pageCount,
    ...(life.url === '' ? {} : { currentUrl: life.url, currentDomain: domainOf(life.url) }),
    statistics: {
      mostVisitedDomain: ranked[0]?.[0] ?? null,
      averagePageDuration: life.pageCount === 0 ? 0 : Math.round(life.activeMs / life.pageCount),
      activations: life.activations,
    },
    isOpen: closedAt === null,
    closed_at: closedAt,
    ...(life.visitId === null ? {} : { page_visit_id: life.visitId }),
  };
}

/** Cuts by characters, never inside one. */
function cut(text: string, max: number): string {
  return text.length <= max ? text : [...text].slice(0, max).join('');
}
