/** The last 24 hours as the chart and its table show them: hours, oldest first. Pure. */
import type { Timeline } from "../generated/Timeline";

export interface Hour {
  /** When the hour began; what came on it still counts to the one before. */
  from: Date;
  /** At its end; null where nothing is known of it. */
  waiting: number | null;
  /** In its course. */
  sent: number;
}

const HOUR = 3_600_000;
const HOURS = 24;

/** Whole hours of the clock, the last one under way. */
export function hours(timeline: Timeline, now: Date): Hour[] {
  const last = Math.floor(now.getTime() / HOUR) * HOUR;
  const list: Hour[] = Array.from({ length: HOURS }, (_, i) => ({
    from: new Date(last - (HOURS - 1 - i) * HOUR),
    waiting: null,
    sent: 0,
  }));
  const first = list[0]?.from.getTime() ?? last;
  for (const point of timeline.points) {
    // A point's time is the end of its quarter: on the hour, it is the last quarter of the hour before.
    const hour = list[Math.floor((Date.parse(point.at) - first - 1) / HOUR)];
    if (!hour) continue;
    hour.waiting = point.waiting;
    hour.sent += point.sent;
  }
  return list;
}

/** What the chart comes to, for its text. */
export function summary(list: readonly Hour[]): { sent: number; most: number } {
  return {
    sent: list.reduce((sum, hour) => sum + hour.sent, 0),
    most: Math.max(0, ...list.map((hour) => hour.waiting ?? 0)),
  };
}
