/**
 * Whether anything may be captured: said by the user on the consent page, kept in
 * `storage.local`, which no web page can reach.
 *
 * Invariant: without a stored "on" of the current text, nothing is captured.
 */
export type Capture = 'unasked' | 'on' | 'off';

/** The consent page as it opens by itself; one that the user opened has no fragment. */
export const ASKING_PAGE = 'consent.html#asking';

/** Raised when the text of the consent page promises something else than before. */
const TEXT_VERSION = 1;
const KEY = 'capture';

export async function readCapture(): Promise<Capture> {
  return parse((await chrome.storage.local.get(KEY))[KEY]);
}

export async function setCapture(capture: 'on' | 'off'): Promise<void> {
  await chrome.storage.local.set({ [KEY]: { capture, textVersion: TEXT_VERSION, decidedAt: Date.now() } });
}

export function onCaptureChange(listener: (capture: Capture) => void): void {
  chrome.storage.onChanged.addListener((changes, area) => {
    const change = changes[KEY];
    if (area === 'local' && change !== undefined) listener(parse(change.newValue));
  });
}

function parse(value: unknown): Capture {
  const { capture, textVersion } = (value ?? {}) as { capture?: unknown; textVersion?: unknown };
  if (capture === 'off') return 'off';
  return capture === 'on' && textVersion === TEXT_VERSION ? 'on' : 'unasked';
}
