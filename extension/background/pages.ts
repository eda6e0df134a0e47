/**
 * The extension's own pages and the background: a port a page, state down, wishes up.
 */
import type { Companion, CompanionState, RequestResult } from '../companion';
import { type Capture, onCaptureChange, readCapture } from './consent';

export const PAGE_PORT = 'page';

export type Wish = { wish: 'sync' | 'open' };
export type PageMessage =
  /** `ill`: what is browsed cannot be written down at the moment. */
  | { type: 'state'; companion: CompanionState; capture: Capture; ill: boolean }
  | { type: 'answer'; wish: Wish['wish']; result: RequestResult };

export interface Pages {
  say(now: { ill: boolean; capture?: Capture }): void;
}

export function servePages(companion: Companion): Pages {
  const ports = new Set<chrome.runtime.Port>();
  /** Null until it was read: nothing is said before. */
  let capture: Capture | null = null;
  let ill = false;
  const tell = (port: chrome.runtime.Port): void => {
    if (capture === null) return;
    port.postMessage({ type: 'state', companion: companion.state, capture, ill } satisfies PageMessage);
  };
  const tellAll = (): void => ports.forEach(tell);
  const learn = (now: Capture | null): void => {
    capture = now ?? capture;
    tellAll();
  };
  onCaptureChange(learn);
  companion.subscribe(tellAll);

  chrome.runtime.onConnect.addListener((port) => {
    if (port.name !== PAGE_PORT || port.sender?.id !== chrome.runtime.id) return;
    ports.add(port);
    port.onDisconnect.addListener(() => ports.delete(port));
    port.onMessage.addListener((message: Wish) => {
      const asked = message.wish === 'sync' ? companion.sync() : companion.openApp();
      void asked.then((result) => {
        if (ports.has(port)) port.postMessage({ type: 'answer', wish: message.wish, result } satisfies PageMessage);
      });
    });
    // A user who looks wants to know now, not when the backoff is over.
    companion.wake(true);
    tell(port);
    // Where it cannot be read it is said when it can: the worker tries again.
    readCapture().then(learn, () => undefined);
  });
  return {
    say: (now) => {
      if (now.ill === ill && now.capture === undefined && capture !== null) return;
      ill = now.ill;
      capture = now.capture ?? capture;
      tellAll();
    },
  };
}
