/**
 * Whether anything may be captured: said by the user on the consent page and in the popup, kept in
 * `storage.local`, which no web page can reach.
 *
 * Invariants
 * - Without a stored "on" of the current text, nothing is captured.
 * - While a pause holds, nothing is captured either. It ends at its own time, or by hand; agreeing anew ends it too.
 * - A change that cannot be read may be a pause: until it can be, nothing is captured.
 *
 * Format: `capture` holds { capture, textVersion, decidedAt }; `pause`, while there is one, { since, until }, where
 * `until` is null until the user resumes.
 */
export type Capture =
  | { is: 'unasked' }
  | { is: 'off' }
  /** `since`: nothing that was before is looked at. */
  | { is: 'on'; since: number }
  | { is: 'paused'; since: number; until: number | null };

/** How long a pause is to last. */
export type PauseFor = 'hour' | 'tomorrow' | 'resumed';

/** The consent page as it opens by itself; one that the user opened has no fragment. */
export const ASKING_PAGE = 'consent.html#asking';

/** Raised when the text of the consent page promises something else than before. */
const TEXT_VERSION = 2;
const CAPTURE = 'capture';
const PAUSE = 'pause';

const HOUR_MS = 3_600_000;
/** "Until tomorrow" ends at this hour, as in the companion's window and tray: the morning, not midnight. */
const MORNING = 6;

export async function readCapture(): Promise<Capture> {
  const { [CAPTURE]: capture, [PAUSE]: pause } = await chrome.storage.local.get([CAPTURE, PAUSE]);
  return captureOf(capture, pause, Date.now());
}

export async function setCapture(capture: 'on' | 'off'): Promise<void> {
  if (capture === 'on') await resume();
  await chrome.storage.local.set({ [CAPTURE]: { capture, textVersion: TEXT_VERSION, decidedAt: Date.now() } });
}

export async function pause(length: PauseFor): Promise<void> {
  const since = Date.now();
  await chrome.storage.local.set({ [PAUSE]: { since, until: endOf(length, new Date(since)) } });
}

export async function resume(): Promise<void> {
  await chrome.storage.local.remove(PAUSE);
}

/** Null: it has changed, and cannot be read. `atOnce` hears before that what moment it has changed at. */
export function onCaptureChange(listener: (capture: Capture | null) => void, atOnce?: (at: number) => void): void {
  chrome.storage.onChanged.addListener((changes, area) => {
    if (area !== 'local' || (changes[CAPTURE] === undefined && changes[PAUSE] === undefined)) return;
    const now = Date.now();
    // One whose time was over is taken away afterwards.
    atOnce?.(changes[CAPTURE] === undefined ? (endedAt(changes[PAUSE]?.oldValue, now) ?? now) : now);
    readCapture().then(listener, () => listener(null));
  });
}

/** When a pause ends; null: when the user says so. */
export function endOf(length: PauseFor, now: Date): number | null {
  if (length === 'resumed') return null;
  if (length === 'hour') return now.getTime() + HOUR_MS;
  const end = new Date(now);
  end.setDate(end.getDate() + 1);
  return end.setHours(MORNING, 0, 0, 0);
}

/** What was stored, as it holds now. A pause whose time is over is none; one that cannot be read holds. */
export function captureOf(stored: unknown, paused: unknown, now: number): Capture {
  const { capture, textVersion, decidedAt } = (stored ?? {}) as { capture?: unknown; textVersion?: unknown; decidedAt?: unknown };
  if (capture === 'off') return { is: 'off' };
  if (capture !== 'on' || textVersion !== TEXT_VERSION) return { is: 'unasked' };
  const agreed = typeof decidedAt === 'number' ? decidedAt : 0;
  if (paused === undefined || paused === null) return { is: 'on', since: agreed };
  const ended = endedAt(paused, now);
  if (ended !== null) return { is: 'on', since: Math.max(agreed, ended) };
  const { since, until } = paused as { since?: unknown; until?: unknown };
  return { is: 'paused', since: typeof since === 'number' ? since : now, until: typeof until === 'number' ? until : null };
}

/** When a stored pause ended by its time; null where it has not. */
function endedAt(paused: unknown, now: number): number | null {
  const { until } = (paused ?? {}) as { until?: unknown };
  return typeof until === 'number' && until <= now ? until : null;
}
