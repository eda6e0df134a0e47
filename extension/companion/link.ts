/**
 * The connection: port, hello, reconnect with backoff, and the small requests.
 *
 * Invariants
 * - At most one port at a time; what an earlier port still says is not heard.
 * - State is one of `LinkState`; `ready` only after `welcome`.
 * - `waiting` always has a timer. A worker that is stopped loses it: its next start,
 *   or `wake` from an alarm, takes its place.
 */
import type { Clock } from './clock';
import * as policy from './policy';
import { closeCause, type Connect, type Port } from './port';
import { type ClientFrame, type ClientInfo, type HostFrame, PROTOCOL, readHostFrame } from './protocol';
import type { LinkState, RequestResult } from './state';

export interface LinkOptions {
  connect: Connect;
  clock: Clock;
  hello: () => Promise<ClientInfo & { profileId: string }>;
  onFrame: (frame: HostFrame, epoch: number) => void;
  onChange: (state: LinkState) => void;
}

type Waiting = Extract<LinkState, { at: 'waiting' }>;

export class Link {
  private current: LinkState = { at: 'stopped' };
  private port: Port | null = null;
  /** Counts connections, so that what belongs to an earlier one is told apart. */
  epoch = 0;
  private attempt = 0;
  private readyAt = 0;
  private cancelTimer: (() => void) | null = null;
  private readonly requests = new Map<string, (result: RequestResult) => void>();
  private readonly whenReady = new Set<() => void>();

  constructor(private readonly options: LinkOptions) {}

  get ready(): boolean {
    return this.current.at === 'ready';
  }

  start(): void {
    if (this.current.at === 'stopped') this.connect();
  }

  stop(): void {
    const port = this.drop();
    this.become({ at: 'stopped' });
    port?.close();
  }

  wake(now: boolean): void {
    if (this.current.at === 'waiting' && (now || this.options.clock.now() >= this.current.retryAt)) this.connect();
  }

  send(frame: ClientFrame): void {
    this.port?.send(frame);
  }

  /** Ends a port that no longer behaves, and tries anew after the backoff. */
  reset(why: Waiting['why']): void {
    const port = this.drop();
    if (port === null) return;
    port.close();
    this.wait(why);
  }

  async request(type: 'sync' | 'open'): Promise<RequestResult> {
    this.wake(true);
    if (!this.ready && !(await this.becomesReady())) return { accepted: false, reason: 'not_connected' };
    const id = this.options.clock.uuid();
    return new Promise((resolve) => {
      const cancel = this.options.clock.after(policy.REQUEST_TIMEOUT_MS, () => {
        this.requests.delete(id);
        resolve({ accepted: false, reason: 'no_answer' });
      });
      this.requests.set(id, (result) => {
        cancel();
        this.requests.delete(id);
        resolve(result);
      });
      this.send({ type, id });
    });
  }

  private becomesReady(): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (ready: boolean): void => {
        cancel();
        this.whenReady.delete(onReady);
        resolve(ready);
      };
      const onReady = (): void => finish(true);
      const cancel = this.options.clock.after(policy.CONNECT_PATIENCE_MS, () => finish(false));
      this.whenReady.add(onReady);
    });
  }

  private connect(): void {
    this.cancelTimer?.();
    this.cancelTimer = null;
    this.epoch += 1;
    this.become({ at: 'connecting' });
    let mine: Port | null = null;
    let endedEarly: string | null = null;
    try {
      mine = this.options.connect({
        onFrame: (value) => {
          if (mine !== null && mine === this.port) this.heard(value);
        },
        onClose: (reason) => {
          if (mine === null) endedEarly = reason;
          else if (mine === this.port) this.ended(reason);
        },
      });
    } catch (error) {
      endedEarly = error instanceof Error ? error.message : String(error);
    }
    this.port = mine;
    if (mine === null || endedEarly !== null) {
      this.ended(endedEarly ?? '');
      return;
    }
    this.cancelTimer = this.options.clock.after(policy.HELLO_TIMEOUT_MS, () => this.reset('silent'));
    const port = mine;
    void this.options.hello().then(
      (client) => {
        if (port === this.port) this.send({ type: 'hello', id: 'hello', protocol: PROTOCOL, client });
      },
      () => this.reset('silent'),
    );
  }

  private heard(value: unknown): void {
    const frame = readHostFrame(value);
    if (frame === null) return;
    if (frame.type === 'error' && frame.code === 'unsupported_protocol') {
      this.reset('unsupported_protocol');
      return;
    }
    if (frame.type === 'welcome') {
      this.cancelTimer?.();
      this.cancelTimer = null;
      this.readyAt = this.options.clock.now();
      this.options.onFrame(frame, this.epoch);
      this.become({ at: 'ready' });
      this.send({ type: 'subscribe', id: 'status' });
      for (const tell of this.whenReady) tell();
      return;
    }
    if (frame.type === 'syncRequested' || frame.type === 'opened') {
      this.requests.get(frame.id)?.({ accepted: frame.accepted, reason: frame.reason });
    }
    this.options.onFrame(frame, this.epoch);
  }

  private ended(reason: string): void {
    this.drop();
    this.wait(closeCause(reason));
  }

  private wait(why: Waiting['why']): void {
    const { clock } = this.options;
    if (this.readyAt !== 0 && clock.now() - this.readyAt >= policy.HEALTHY_AFTER_MS) this.attempt = 0;
    this.readyAt = 0;
    const slow = why === 'unsupported_protocol' || why === 'forbidden';
    const delay = slow ? policy.RECONNECT_MAX_MS : policy.reconnectDelay(this.attempt++, clock.random());
    this.cancelTimer = clock.after(delay, () => this.connect());
    this.become({ at: 'waiting', why, retryAt: clock.now() + delay });
  }

  /** Lets go of the port and of everything that hung on it. */
  private drop(): Port | null {
    const port = this.port;
    this.port = null;
    this.cancelTimer?.();
    this.cancelTimer = null;
    for (const answer of this.requests.values()) answer({ accepted: false, reason: 'not_connected' });
    return port;
  }

  private become(state: LinkState): void {
    this.current = state;
    this.options.onChange(state);
  }
}
