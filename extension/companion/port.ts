/**
 * The one thing the client needs from a browser: a port to the host.
 *
 * Invariant: after `onClose` was called, nothing more arrives and `send` is not called.
 */
export interface Port {
  send(frame: unknown): void;
  close(): void;
}

export interface PortEvents {
  onFrame(frame: unknown): void;
  /** The port ended by the other side; `reason` in the browser's words. */
  onClose(reason: string): void;
}

export type Connect = (events: PortEvents) => Port;

/** The part of `chrome.runtime` and `browser.runtime` that is used. */
interface Runtime {
  connectNative(name: string): NativePort;
  lastError?: { message?: string | undefined } | null | undefined;
}

interface NativePort {
  postMessage(message: unknown): void;
  disconnect(): void;
  onMessage: { addListener(listener: (message: unknown) => void): void };
  onDisconnect: { addListener(listener: (port: NativePort) => void): void };
  /** Firefox says here what Chromium says in `runtime.lastError`. */
  error?: { message: string } | null;
}

export function nativeConnect(hostName: string): Connect {
  return (events) => {
    const runtime = browserRuntime();
    const port = runtime.connectNative(hostName);
    port.onMessage.addListener((message) => events.onFrame(message));
    port.onDisconnect.addListener((ended) => {
      events.onClose(ended?.error?.message ?? runtime.lastError?.message ?? '');
    });
    return { send: (frame) => port.postMessage(frame), close: () => port.disconnect() };
  };
}

function browserRuntime(): Runtime {
  const scope = globalThis as unknown as { browser?: { runtime?: Runtime }; chrome?: { runtime?: Runtime } };
  const runtime = scope.browser?.runtime ?? scope.chrome?.runtime;
  if (!runtime?.connectNative) {
    throw new Error('runtime.connectNative is missing: the manifest needs the permission "nativeMessaging"');
  }
  return runtime;
}

export type CloseCause = 'no_host' | 'forbidden' | 'host_ended';

/** Browsers tell the causes apart by words only. */
export function closeCause(reason: string): CloseCause {
  if (/not found|no such native application/i.test(reason)) return 'no_host';
  if (/forbidden|not allowed/i.test(reason)) return 'forbidden';
  return 'host_ended';
}
