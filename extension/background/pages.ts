/**
 * The extension's own pages and the background: a port a page, state down, wishes up.
 */
import type { Companion, CompanionState, RequestResult } from '../companion';
import { type Capture, onCaptureChange, readCapture } from './consent';

export const PAGE_PORT = 'page';

export type Wish = { wish: 'sync' | 'open' };
export type PageMessage =
  | { type: 'state'; companion: CompanionState; capture: Capture }
  | { type: 'answer'; wish: Wish['wish']; result: RequestResult };

export function servePages(companion: Companion): void {
  const ports = new Set<chrome.runtime.Port>();
  let capture: Capture = { is: 'unasked' };
  const tell = (port: chrome.runtime.Port): void => {
    port.postMessage({ type: 'state', companion: companion.state, capture } satisfies PageMessage);
  };
  const tellAll = (): void => ports.forEach(tell);
  const learn = (now: Capture): void => {
    capture = now;
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
    void readCapture().then(learn);
  });
}
