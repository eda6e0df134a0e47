/**
 * A page's port to the background; made again when the worker was stopped meanwhile.
 */
import { PAGE_PORT, type PageMessage, type Wish } from '../background/pages';

export function connectPage(onMessage: (message: PageMessage) => void): (wish: Wish['wish']) => void {
  let port = open();
  function open(): chrome.runtime.Port {
    const fresh = chrome.runtime.connect({ name: PAGE_PORT });
    fresh.onMessage.addListener((message: PageMessage) => onMessage(message));
    fresh.onDisconnect.addListener(() => {
      port = open();
    });
    return fresh;
  }
  return (wish) => port.postMessage({ wish } satisfies Wish);
}
